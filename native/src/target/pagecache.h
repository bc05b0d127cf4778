/* Keeping the page cache out of the way, and seeing how much of the target is in it. PROTOCOL.md
 * section 5. */
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
    bool dropped_for[2]; /* a read, a write point: `auto` has dropped for that direction */
    uint64_t
        kept_bytes; /* of the span, resident right after the last drop: no drop will free them */
};

/* A part of an open file or device. */
struct pagecache_span {
    int fd;
    bool device;
    uint64_t offset, bytes;
};

/* drop_path is /proc/sys/vm/drop_caches. Never fails: see ->reason and ->residency. */
void pagecache_open(struct pagecache *cache, enum drop_policy policy, const char *drop_path,
                    const struct pagecache_span *span);
void pagecache_close(struct pagecache *cache);

/* How many bytes of the span are in the page cache, by `how`. Returns 0 or -errno. */
int pagecache_resident(enum residency how, const struct pagecache_span *span, uint64_t *ret_bytes);

/* Whether to drop before a point; pure. */
bool pagecache_wants_drop(const struct pagecache *cache, bool write, enum request_drop asked,
                          uint64_t resident_bytes);

/* Tells the kernel to forget the span; with `drop` also syncs and drops the whole clean page cache.
 * True if dropped. */
bool pagecache_evict(struct pagecache *cache, const struct pagecache_span *span, bool write,
                     bool drop);

#endif
