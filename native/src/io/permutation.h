/* A keyed permutation of 0 … count-1 that needs no memory: places at random without repeats. */
#ifndef AIO_SWEEP_PERMUTATION_H
#define AIO_SWEEP_PERMUTATION_H

#include <stdint.h>

#define PERMUTATION_ROUNDS 4

struct permutation {
    uint64_t count;
    unsigned left_bits, right_bits; /* of an index below the power of two that holds count */
    uint64_t keys[PERMUTATION_ROUNDS];
};

/* The same count and seed give the same permutation. count is at least 1. */
void permutation_init(struct permutation *permutation, uint64_t count, uint64_t seed);

/* Returns the image of index modulo count. */
uint64_t permutation_at(const struct permutation *permutation, uint64_t index);

#endif
