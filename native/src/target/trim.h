/* Returns the space of a scratch file to the thin volume or sparse file below its filesystem. */
#ifndef AIO_SWEEP_TRIM_H
#define AIO_SWEEP_TRIM_H

#include "context.h"

#include <stddef.h>

struct trim_range {
    uint64_t start, bytes;
};

/* Sorts the ranges and joins adjacent ones; returns their new number. A thin volume frees only
 * whole chunks, so two ranges that meet within a chunk would keep it allocated. */
size_t trim_join(struct trim_range *ranges, size_t count);

/* With --trim, frees the scratch file's blocks and discards exactly their extents (FIEMAP,
 * ftruncate, syncfs, FITRIM). Signals do not stop it. Errors are printed to standard error. */
void trim_scratch(struct context *context);

#endif
