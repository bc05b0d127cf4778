/*
 * The places of the requests of a transfer: a plan, which its threads share, and in each thread a
 * walk through its part of it.
 */
#ifndef AIO_SWEEP_WALK_H
#define AIO_SWEEP_WALK_H

#include "io/permutation.h"
#include "io/stamp.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum direction { DIRECTION_READ, DIRECTION_WRITE, DIRECTION_MIXED };

/* Byte i of a transfer is at buffer + i, and in the target at file_offset + i or, at random, in the
 * block that the permutation gives. */
struct plan {
    enum direction direction;
    unsigned read_percent; /* of the requests, if mixed */
    uint64_t seed;         /* of the mix */
    uint32_t block_size;
    char *buffer;
    uint64_t file_offset; /* at random: of block 0 of the permutation */
    bool random;
    struct permutation permutation;
    uint64_t first_block; /* number of the transfer's first block, over all transfers */
};

struct place {
    char *memory;
    uint64_t offset; /* in the target */
    uint32_t length;
    bool write;
};

struct walk {
    const struct plan *plan;
    uint64_t start, end;      /* bytes of the transfer */
    uint64_t first_block;     /* number of the block at `start` */
    uint64_t next;            /* number of the next block of the walk */
    _Atomic uint64_t *shared; /* instead of `next`, if several threads walk together; else NULL */
};

/* A request of a mix is a read or a write by a hash of its number. */
static inline bool walk_writes(const struct plan *plan, uint64_t block)
{
    if (plan->direction != DIRECTION_MIXED)
        return plan->direction == DIRECTION_WRITE;
    return (stamp_mix(block ^ plan->seed << 32) >> 32) * 100 >> 32 >= plan->read_percent;
}

/* Stores the next place. Returns false at the end of the walk. */
static inline bool walk_next(struct walk *walk, struct place *ret)
{
    const struct plan *plan = walk->plan;
    uint64_t number = walk->shared
                          ? atomic_fetch_add_explicit(walk->shared, 1, memory_order_relaxed)
                          : walk->next++;
    uint64_t at = walk->start + number * plan->block_size;
    uint64_t block = walk->first_block + number;

    if (at >= walk->end)
        return false;
    ret->memory = plan->buffer + at;
    ret->length = walk->end - at < plan->block_size ? (uint32_t)(walk->end - at) : plan->block_size;
    ret->offset =
        plan->file_offset +
        (plan->random ? permutation_at(&plan->permutation, block) * plan->block_size : at);
    ret->write = walk_writes(plan, block);
    return true;
}

#endif
