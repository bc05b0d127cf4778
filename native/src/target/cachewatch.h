/* Sees whether the transfers of a point pass through the page cache, although the file is open with
 * O_DIRECT: some filesystems take the flag and write through the cache all the same. */
#ifndef AIO_SWEEP_CACHEWATCH_H
#define AIO_SWEEP_CACHEWATCH_H

#include "target/pagecache.h"

#include <pthread.h>

struct cachewatch {
    struct pagecache_span span;
    uint64_t most_bytes;
    unsigned char *map; /* for mincore(2); NULL: cachestat(2) looks */
    pthread_t thread;
    int stop_fd; /* -1: not watching */
};

/* Starts to look, every 2 ms, how much of the span is resident; by mincore(2), which looks at each
 * page, at most the 4 MiB from `first` on, where the first transfer begins. Never fails: at worst
 * nothing is seen. */
void cachewatch_start(struct cachewatch *watch, enum residency how,
                      const struct pagecache_span *span, uint64_t first);

/* Ends it, and returns the most bytes that were resident at one look; 0 if none were, or unknown.
 */
uint64_t cachewatch_stop(struct cachewatch *watch);

#endif
