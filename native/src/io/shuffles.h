/* How far each random order of the span has been used, so that points of a run repeat no place
 * before all have been used. */
#ifndef AIO_SWEEP_SHUFFLES_H
#define AIO_SWEEP_SHUFFLES_H

#include <stdint.h>

#define SHUFFLES_MAX 64 /* the default curves have 11 sizes for each direction */

struct shuffle {
    uint32_t block_size; /* 0: unused */
    uint64_t seed;
    uint64_t next; /* number of the next block */
    uint64_t used; /* ->clock when it was last found */
};

struct shuffles {
    struct shuffle entries[SHUFFLES_MAX];
    uint64_t clock;
};

/* Finds the order of that block size and seed. A new one starts at 0, and takes the place of the
 * least recently used. */
struct shuffle *shuffles_find(struct shuffles *shuffles, uint32_t block_size, uint64_t seed);

#endif
