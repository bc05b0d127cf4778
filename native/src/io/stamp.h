/* The mark of one run in every sector that it writes to a device: who has the run's key can tell the
 * sector from all others, and nobody writes it by chance. */
#ifndef AIO_SWEEP_STAMP_H
#define AIO_SWEEP_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#define STAMP_SECTOR 512
#define STAMP_DIGITS 32 /* of a key, hexadecimal */

struct stamp_key {
    uint64_t words[2];
};

/* Parses 32 hexadecimal digits. */
bool stamp_parse_key(const char *text, struct stamp_key *ret);

/* Makes the first 24 bytes of a sector the mark. Sectors of different nonces differ, and no part of
 * the mark repeats, so it compresses no better than the rest. */
void stamp_write(char *sector, const struct stamp_key *key, uint64_t nonce);

bool stamp_is_of(const char *sector, const struct stamp_key *key);

/* A 64-bit hash finalizer: every output bit depends on every input bit. Applied to a counter it is
 * a random number generator without state. */
uint64_t stamp_mix(uint64_t value);

#endif
