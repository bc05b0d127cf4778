/*
 * The I/O buffer: locked, filled with random data, and on the pages that a consumer would get.
 *
 * Its physical contiguity decides into how many segments a request is split: on one machine, runs
 * of 128 KiB gave 2.3 times the throughput of runs of 4 KiB. So all points of a run share one
 * buffer, and `hello` reports its pages.
 */
#ifndef AIO_SWEEP_BUFFER_H
#define AIO_SWEEP_BUFFER_H

#include "io/page_sizes.h"
#include "io/stamp.h"
#include "protocol/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum buffer_pages {
    BUFFER_CONSUMER, /* posix_memalign() and mlock(), as DeepSpeed: pages as this host gives them */
    BUFFER_HUGE,     /* transparent huge pages by madvise() */
    /* Reserved huge pages. Only on request: they may be meant for a program that has not started
     * yet. */
    BUFFER_HUGETLB,
};

struct buffer {
    char *data;
    uint64_t bytes;
    const char *backing;     /* "hugetlb", "thp" or "pages" */
    uint64_t huge_bytes;     /* on huge pages according to /proc/self/smaps */
    uint64_t mean_run_bytes; /* mean length of physically contiguous runs; 0: unknown */
    bool locked;
    struct stamp_key key; /* for buffer_stamp(); all zero without --key */
    bool random;          /* holds random data: nothing was read into it since buffer_fill() */
    void *allocated;      /* by posix_memalign(); NULL: mapped */
    void *map;
    size_t map_bytes;
};

/* First takes up to `ballast_bytes` of untypical pages out of the way (io/recycled.h). Reserved
 * pages are the largest that are no larger than the buffer and of which enough are free. Falls back
 * from reserved to transparent huge pages, and from those to plain ones; ->backing has the result.
 * Returns 0, or -1 with FAULT_SYSTEM. */
int buffer_open(struct buffer *buffer, uint64_t bytes, enum buffer_pages pages,
                const struct page_sizes *sizes, uint64_t ballast_bytes, struct fault *fault);
void buffer_close(struct buffer *buffer);

/* Reads the kernel's policy for transparent huge pages: "always", "madvise", "never", or "" if it
 * has none. */
void buffer_thp_policy(char ret[static 16]);

/* Fills the buffer with incompressible data, different for each seed. */
void buffer_fill(struct buffer *buffer, uint64_t seed);

/* Marks every sector of the first `bytes`, which hold random data, with the key, and makes it
 * differ from the sectors of all other seeds. Writes 24 bytes a sector, 3/64 of buffer_fill(). */
void buffer_stamp(struct buffer *buffer, uint64_t bytes, uint64_t seed);

#endif
