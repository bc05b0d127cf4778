/* Sees whether the transfers of a point pass through the page cache, although the file is open with
 * O_DIRECT: some filesystems take the flag and write through the cache all the same. */
#ifndef AIO_SWEEP_CACHEWATCH_H
#define AIO_SWEEP_CACHEWATCH_H

#include "target/pagecache.h"

#include <pthread.h>

struct cachewatch {
    struct pagecache_span span;
    uint64_t most_bytes;
    pthread_t thread;
    int stop_fd; /* -1: not watching */
};

/* Starts to look, every 2 ms, how much of the span is resident. Does nothing without cachestat(2):
 * mincore(2) takes too long for that. Never fails: at worst nothing is seen. */
void cachewatch_start(struct cachewatch *watch, const struct pagecache *cache,
                      const struct pagecache_span *span);

/* Ends it, and returns the most bytes that were resident at one look; 0 if none were, or unknown. */
uint64_t cachewatch_stop(struct cachewatch *watch);

#endif
