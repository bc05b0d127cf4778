#include "check.h"
#include "io/stamp.h"

int main(void)
{
    const char *digits = "0123456789abcdef0011223344556677";
    struct stamp_key key, other;
    char sector[STAMP_SECTOR] = {0}, second[STAMP_SECTOR] = {0};

    CHECK(stamp_parse_key(digits, &key));
    CHECK(key.words[0] == UINT64_C(0x0123456789abcdef));
    CHECK(key.words[1] == UINT64_C(0x0011223344556677));
    CHECK(!stamp_parse_key("", &other));
    CHECK(!stamp_parse_key("0123456789abcdef001122334455667", &other));
    CHECK(!stamp_parse_key("0123456789abcdef00112233445566778", &other));
    CHECK(!stamp_parse_key("0123456789ABCDEF0011223344556677", &other));
    CHECK(!stamp_parse_key("0123456789abcdef001122334455667g", &other));

    CHECK(!stamp_is_of(sector, &key)); /* zeros are not a mark */
    for (uint64_t nonce = 0; nonce < 1000; nonce++) {
        stamp_write(sector, &key, nonce);
        CHECK(stamp_is_of(sector, &key));
        CHECK(memcmp(sector, second, 24) != 0);
        memcpy(second, sector, sizeof(second));
    }
    /* A change of any bit of the mark or the key is detected. */
    for (unsigned bit = 0; bit < 24 * 8; bit++) {
        memcpy(second, sector, sizeof(second));
        second[bit / 8] = (char)(second[bit / 8] ^ (1 << bit % 8));
        CHECK(!stamp_is_of(second, &key));
    }
    for (unsigned bit = 0; bit < 128; bit++) {
        other = key;
        other.words[bit / 64] ^= UINT64_C(1) << bit % 64;
        CHECK(!stamp_is_of(sector, &other));
    }
    return check_result();
}
