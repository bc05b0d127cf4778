/* Page cache of the target: residency and eviction, as PROTOCOL.md section 5 specifies. */
#ifndef AIO_SWEEP_PAGECACHE_H
#define AIO_SWEEP_PAGECACHE_H

#include "protocol/options.h"
#include "protocol/request.h"

enum residency { RESIDENCY_NONE, RESIDENCY_CACHESTAT, RESIDENCY_MINCORE };

struct pagecache {
    enum drop_policy policy;
    enum residency residency;
    int drop_fd;      /* of drop_caches; -1: it cannot be written */
    char reason[256]; /* why drop_fd is -1, else "" */
    bool read_before; /* a read point was prepared; `auto` drops before the first one */
    /* Bytes of the span that the last eviction left resident; another would not free them. */
    uint64_t kept_bytes;
};

/* The pages to evict before a point. */
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

/* Opens drop_path, which is /proc/sys/vm/drop_caches, and selects a residency method. On failure
 * ->reason is set, or ->residency is RESIDENCY_NONE. */
void pagecache_open(struct pagecache *cache, enum drop_policy policy, const char *drop_path,
                    const struct pagecache_span *span);
void pagecache_close(struct pagecache *cache);

/* Counts the bytes of the span in the page cache by the method `how`. Returns 0 or -errno. */
int pagecache_resident(enum residency how, const struct pagecache_span *span, uint64_t *ret_bytes);

/* Decides what to evict before a point. Dropping the host's pages slows other processes, so `auto`
 * does it once: otherwise any process that reads the target would cause another drop. */
enum eviction pagecache_plan(const struct pagecache *cache, bool write, enum request_drop asked,
                             uint64_t resident_bytes);

/* Evicts by posix_fadvise(2) and, for EVICT_HOST, drop_caches. Returns true if it dropped the
 * host's pages; if drop_caches cannot be written it evicts only the span. */
bool pagecache_evict(struct pagecache *cache, const struct pagecache_span *span, bool write,
                     enum eviction how);

#endif
