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
    int drop_fd;      /* -1: it cannot be written */
    char reason[256]; /* why drop_fd is -1, else "" */
    bool read_before; /* a read point has been prepared: `auto` drops before the first */
    /* Bytes of the span that the last eviction left resident: another would not free them. */
    uint64_t kept_bytes;
};

/* What is evicted before a point. */
enum eviction {
    EVICT_CLEAN, /* the clean pages of the span */
    EVICT_SPAN,  /* all pages of the span, which is synced first */
    EVICT_HOST,  /* the clean pages of the host */
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

/* Decides what to evict before a point. Other processes pay for a drop of the host's pages, so
 * `auto` does it once: any user could have it done again and again by reading the target. */
enum eviction pagecache_plan(const struct pagecache *cache, bool write, enum request_drop asked,
                             uint64_t resident_bytes);

/* Evicts by posix_fadvise(2) and, for the pages of the host, drop_caches. Returns whether it
 * dropped those; where drop_caches cannot be written the span alone is evicted. */
bool pagecache_evict(struct pagecache *cache, const struct pagecache_span *span, bool write,
                     enum eviction how);

#endif
