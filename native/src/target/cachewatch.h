/* Detects transfers that pass through the page cache: some filesystems accept O_DIRECT and then use
 * the page cache anyway. */
#ifndef AIO_SWEEP_CACHEWATCH_H
#define AIO_SWEEP_CACHEWATCH_H

#include "target/pagecache.h"

#include <pthread.h>

struct cachewatch {
    struct pagecache_span span;
    uint64_t most_bytes;
    unsigned char *map; /* for mincore(2); NULL: cachestat(2) is used */
    pthread_t thread;
    int stop_fd; /* -1: not watching */
};

/* Samples every 2 ms how much of the span is resident. mincore(2) takes time for each page, so it
 * covers only 4 MiB from `first` on, where the first transfer begins. If the thread cannot start,
 * the result is 0. */
void cachewatch_start(struct cachewatch *watch, enum residency how,
                      const struct pagecache_span *span, uint64_t first);

/* Stops sampling. Returns the most bytes resident in a sample; 0 if none or unknown. */
uint64_t cachewatch_stop(struct cachewatch *watch);

#endif
