#include "io/stamp.h"

#include <string.h>

uint64_t stamp_mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    value ^= value >> 32;
    return value;
}

static int digit(char character)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = character ? strchr(digits, character) : NULL;

    return found ? (int)(found - digits) : -1;
}

bool stamp_parse_key(const char *text, struct stamp_key *ret)
{
    if (strlen(text) != STAMP_DIGITS)
        return false;
    *ret = (struct stamp_key){{0, 0}};
    for (int i = 0; i < STAMP_DIGITS; i++) {
        uint64_t *word = &ret->words[i / (STAMP_DIGITS / 2)];
        int value = digit(text[i]);

        if (value < 0)
            return false;
        *word = *word << 4 | (uint64_t)value;
    }
    return true;
}

static void make_mark(uint64_t mark[static 3], const struct stamp_key *key, uint64_t nonce)
{
    mark[0] = nonce;
    mark[1] = key->words[0] ^ stamp_mix(nonce ^ key->words[1]);
    mark[2] = key->words[1] ^ stamp_mix(~nonce ^ stamp_mix(key->words[0]));
}

void stamp_write(char *sector, const struct stamp_key *key, uint64_t nonce)
{
    uint64_t mark[3];

    make_mark(mark, key, nonce);
    memcpy(sector, mark, sizeof(mark));
}

bool stamp_is_of(const char *sector, const struct stamp_key *key)
{
    uint64_t mark[3], nonce;

    memcpy(&nonce, sector, sizeof(nonce));
    make_mark(mark, key, nonce);
    return memcmp(sector, mark, sizeof(mark)) == 0;
}
