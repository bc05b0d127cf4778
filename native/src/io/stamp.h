/* The mark of one run in every sector that it writes to a device. With the key, a sector of the run
 * is told from any other; a mark by chance has a probability of 2^-128. */
#ifndef AIO_SWEEP_STAMP_H
#define AIO_SWEEP_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#define STAMP_SECTOR 512
#define STAMP_DIGITS 32 /* of a key in hexadecimal */

struct stamp_key {
    uint64_t words[2];
};

/* Parses 32 lower-case hexadecimal digits. Returns false for any other text. */
bool stamp_parse_key(const char *text, struct stamp_key *ret);

/* Writes the mark into the first 24 bytes of a sector. Marks of different nonces differ, and the
 * mark compresses no better than random data. */
void stamp_write(char *sector, const struct stamp_key *key, uint64_t nonce);

/* Returns true if the sector bears the mark of the key. */
bool stamp_is_of(const char *sector, const struct stamp_key *key);

/* 64-bit hash finalizer: every output bit depends on every input bit. Applied to a counter, it is a
 * stateless random number generator. */
uint64_t stamp_mix(uint64_t value);

#endif
