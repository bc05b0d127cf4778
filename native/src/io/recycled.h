/*
 * Free pages that the kernel hands out first, and that are not typical: those that this CPU keeps
 * from processes that have ended, and blocks below 64 KiB.
 *
 * Since Linux 6.7 a CPU keeps up to 1/8 of its node's memory in lists of its own, and hands the
 * pages out in the reverse of the order in which they were freed. A process that starts right after
 * another one has ended may get them in falling order: no page follows the one before it, and each
 * is a segment of its own. On one machine that gave 0.62 times the throughput, and the next process
 * had other pages. A consumer with gigabytes of buffers uses these pages up, and gets most of its
 * memory from larger blocks.
 */
#ifndef AIO_SWEEP_RECYCLED_H
#define AIO_SWEEP_RECYCLED_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECYCLED_ROUNDS 4

struct recycled {
    struct {
        void *data; /* NULL: none was taken */
        size_t bytes;
    } maps[RECYCLED_ROUNDS];
    cpu_set_t allowed;
    bool pinned;
};

/* Keeps this thread on its CPU, and takes up to `most_bytes` of such pages, so that the bytes
 * allocated next come from larger blocks. Takes none where /proc/zoneinfo and /proc/buddyinfo do
 * not count them. */
void recycled_take(struct recycled *recycled, uint64_t most_bytes, size_t next_bytes);

/* Returns the bytes in free blocks below 64 KiB of a line of /proc/buddyinfo, which has the number
 * of free blocks of 1, 2, 4 ... pages of a zone. `page` is the size of one. */
uint64_t recycled_small_bytes(const char *zone, uint64_t page);

/* Frees the pages, and lets this thread run on all of its CPUs again. */
void recycled_give_back(struct recycled *recycled);

#endif
