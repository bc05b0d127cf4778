/* Returns the space of a scratch file to the thin volume or sparse file below its filesystem. */
#ifndef AIO_SWEEP_TRIM_H
#define AIO_SWEEP_TRIM_H

#include <stddef.h>
#include <stdint.h>

struct context;

struct trim_range {
    uint64_t start, bytes;
};

/* The extents of files that have been truncated. */
struct trim {
    struct trim_range *ranges;
    size_t count;
};

/* With --trim, remembers the extents of a file that is about to be truncated, for trim_scratch().
 */
void trim_remember(struct context *context, int fd);

/* Sorts the ranges and joins adjacent ones; returns their new number. A thin volume frees only
 * whole chunks, so two ranges that meet within a chunk would keep it allocated. */
size_t trim_join(struct trim_range *ranges, size_t count);

/* With --trim, frees the scratch file's blocks and discards exactly their extents, and those
 * remembered (FIEMAP, ftruncate, syncfs, FITRIM). Signals do not stop it. Errors are printed to
 * standard error. */
void trim_scratch(struct context *context);

#endif
