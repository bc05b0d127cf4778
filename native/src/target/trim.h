/* Gives the space of a scratch file back to what lies below its filesystem: a thin volume, or a
 * sparse file. */
#ifndef AIO_SWEEP_TRIM_H
#define AIO_SWEEP_TRIM_H

#include "context.h"

#include <stddef.h>

struct trim_range {
    uint64_t start, bytes;
};

/* Sorts the ranges and joins those that touch; returns how many are left. A thin volume frees whole
 * chunks only: two ranges that meet within a chunk would keep it. */
size_t trim_join(struct trim_range *ranges, size_t count);

/* Frees the scratch file's blocks and discards exactly where they were (FIEMAP, ftruncate, syncfs,
 * FITRIM), if --trim was given. Signals do not stop it. What fails is said on standard error. */
void trim_scratch(struct context *context);

#endif
