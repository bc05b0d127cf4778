/*
 * The one I/O buffer: locked, on transparent huge pages where there are any, full of random data.
 *
 * Its contiguity in physical memory decides into how many segments a request is split. On one
 * machine throughput differed by a factor of 2.3 between contiguous runs of 128 KiB and of 4 KiB.
 * So all points of a run share one buffer, and `hello` reports its backing.
 */
#ifndef AIO_SWEEP_BUFFER_H
#define AIO_SWEEP_BUFFER_H

#include "io/stamp.h"
#include "protocol/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pages that the administrator has reserved are for a program that will need them, and it may not
 * have started yet. So they are taken by BUFFER_HUGETLB alone. */
enum buffer_pages { BUFFER_HUGE, BUFFER_HUGETLB };

struct buffer {
    char *data;
    uint64_t bytes;
    const char *backing; /* "hugetlb", "thp" or "pages" */
    uint64_t huge_bytes; /* on huge pages according to /proc/self/smaps */
    bool locked;
    struct stamp_key key; /* of buffer_stamp(); all zero: of no run */
    bool random; /* holds the data of buffer_fill(): nothing has been read into it since */
    void *map;
    size_t map_bytes;
};

/* Falls back from reserved pages to transparent ones: ->backing tells what was got. */
int buffer_open(struct buffer *buffer, uint64_t bytes, enum buffer_pages pages,
                struct fault *fault);
void buffer_close(struct buffer *buffer);

/* Fills the buffer with incompressible data, different for each seed. */
void buffer_fill(struct buffer *buffer, uint64_t seed);

/* Makes every sector of the first `bytes`, which must hold random data, different from those of all
 * other seeds, and marks it with the key. It writes 3/64 of what buffer_fill() writes. */
void buffer_stamp(struct buffer *buffer, uint64_t bytes, uint64_t seed);

#endif
