/*
 * The one I/O buffer: locked, on huge pages where there are any, full of noise.
 *
 * How contiguous it lies in physical memory decides into how many segments a request is split: 2.3
 * times the throughput on one machine between runs of 128 KiB and of 4 KiB. So all points of a run
 * share one buffer, and what was got is reported.
 */
#ifndef AIO_SWEEP_BUFFER_H
#define AIO_SWEEP_BUFFER_H

#include "protocol/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    char *data;
    uint64_t bytes;
    const char *backing; /* "hugetlb", "thp" or "pages" */
    uint64_t huge_bytes; /* really on huge pages, by /proc/self/smaps */
    bool locked;
    bool random; /* still holds what buffer_fill() left: nothing has been read into it */
    void *map;
    size_t map_bytes;
};

int buffer_open(struct buffer *buffer, uint64_t bytes, struct fault *fault);
void buffer_close(struct buffer *buffer);

/* Incompressible data, different for each seed. */
void buffer_fill(struct buffer *buffer, uint64_t seed);

/* Makes the first `bytes`, which must hold noise, different in every sector from all other seeds:
 * 1/32 of the work. */
void buffer_stamp(struct buffer *buffer, uint64_t bytes, uint64_t seed);

#endif
