/* Evicts the target from the page cache, and tells how much of it is cached: PROTOCOL.md section 5.
 */
#ifndef AIO_SWEEP_PAGECACHE_H
#define AIO_SWEEP_PAGECACHE_H

#include "protocol/options.h"
#include "protocol/request.h"

enum residency { RESIDENCY_NONE, RESIDENCY_CACHESTAT, RESIDENCY_MINCORE };

struct pagecache {
    enum drop_policy policy;
    enum residency residency;
    int drop_fd;         /* -1: it cannot be written */
    char reason[256];    /* why drop_fd is -1, else "" */
    bool dropped_for[2]; /* `auto` has dropped for [0] a read point, [1] a write point */
    /* Bytes of the span that the last drop left resident: another drop would not free them. */
    uint64_t kept_bytes;
};

/* A part of an open file or device. */
struct pagecache_span {
    int fd;
    bool device;
    uint64_t offset, bytes;
};

/* drop_path is /proc/sys/vm/drop_caches. Never fails: ->reason and ->residency tell what works. */
void pagecache_open(struct pagecache *cache, enum drop_policy policy, const char *drop_path,
                    const struct pagecache_span *span);
void pagecache_close(struct pagecache *cache);

/* Counts the bytes of the span that are in the page cache, by `how`. Returns 0 or -errno. */
int pagecache_resident(enum residency how, const struct pagecache_span *span, uint64_t *ret_bytes);

/* Decides whether to drop the page cache before a point. */
bool pagecache_wants_drop(const struct pagecache *cache, bool write, enum request_drop asked,
                          uint64_t resident_bytes);

/* Evicts the span with posix_fadvise(2); with `drop` also syncs and drops all clean pages of the
 * host. Returns whether it dropped them. */
bool pagecache_evict(struct pagecache *cache, const struct pagecache_span *span, bool write,
                     bool drop);

#endif
