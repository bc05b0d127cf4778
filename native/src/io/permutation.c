#include "io/permutation.h"

#include "io/stamp.h"

void permutation_init(struct permutation *permutation, uint64_t count, uint64_t seed)
{
    unsigned bits = count > 1 ? 64U - (unsigned)__builtin_clzll(count - 1) : 0;

    *permutation =
        (struct permutation){.count = count, .left_bits = bits / 2, .right_bits = bits - bits / 2};
    for (unsigned i = 0; i < PERMUTATION_ROUNDS; i++)
        permutation->keys[i] = stamp_mix(stamp_mix(seed) + i + 1);
}

/* The upper half of a product depends on all bits of the value. */
static uint64_t mix(uint64_t value, uint64_t key)
{
    value = (value ^ key) * UINT64_C(0x9e3779b97f4a7c15);
    return (value ^ value >> 29) * UINT64_C(0xd6e8feb86659fd93) >> 32;
}

/* A Feistel network with halves that may differ by one bit: each round changes one half by a hash
 * of the other, which can be undone, so no two values have the same image. */
static uint64_t scramble(const struct permutation *permutation, uint64_t value)
{
    unsigned right_bits = permutation->right_bits;
    uint64_t left_mask = (UINT64_C(1) << permutation->left_bits) - 1;
    uint64_t right_mask = (UINT64_C(1) << right_bits) - 1;
    uint64_t left = value >> right_bits, right = value & right_mask;

    for (unsigned i = 0; i < PERMUTATION_ROUNDS; i += 2) {
        left ^= mix(right, permutation->keys[i]) & left_mask;
        right ^= mix(left, permutation->keys[i + 1]) & right_mask;
    }
    return left << right_bits | right;
}

uint64_t permutation_at(const struct permutation *permutation, uint64_t index)
{
    uint64_t value = index % permutation->count;

    /* Less than half of the values lie outside; following them leads back inside. */
    do
        value = scramble(permutation, value);
    while (value >= permutation->count);
    return value;
}
