#include "target/pagecache.h"

#include "io/page_sizes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.5, newer than the headers of Debian 12. The number is common to all but alpha. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#define MINCORE_WINDOW (UINT64_C(1) << 30)

static int resident_cachestat(const struct pagecache_span *span, uint64_t *ret_bytes)
{
    struct {
        uint64_t off, len;
    } range = {span->offset, span->bytes};
    struct {
        uint64_t cache, dirty, writeback, evicted, recently_evicted;
    } pages = {0};

    if (syscall(SYS_cachestat, span->fd, &range, &pages, 0) < 0)
        return -errno;
    *ret_bytes = pages.cache * page_bytes();
    return 0;
}

/* Of a file that this process neither owns nor may write, mincore(2) says that all is resident. A
 * root without CAP_FOWNER owns only its own. */
static bool mincore_is_true(int fd)
{
    struct stat status;
    char own[64];

    if (fstat(fd, &status) == 0 && status.st_uid == geteuid())
        return true;
    (void)snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
    return faccessat(AT_FDCWD, own, W_OK, AT_EACCESS) == 0;
}

static int resident_mincore(const struct pagecache_span *span, uint64_t *ret_bytes)
{
    uint64_t unit = page_bytes(), pages = 0;
    uint64_t at = span->offset / unit * unit, end = span->offset + span->bytes;
    unsigned char *flags = malloc((size_t)(MINCORE_WINDOW / unit));
    int r = 0;

    if (!flags)
        return -ENOMEM;
    for (; at < end && r == 0; at += MINCORE_WINDOW) {
        size_t length = (size_t)(end - at < MINCORE_WINDOW ? end - at : MINCORE_WINDOW);
        void *map = mmap(NULL, length, PROT_READ, MAP_SHARED, span->fd, (off_t)at);

        if (map == MAP_FAILED) {
            r = -errno;
            break;
        }
        if (mincore(map, length, flags) < 0)
            r = -errno;
        for (size_t i = 0; r == 0 && i < round_up(length, unit) / unit; i++)
            pages += flags[i] & 1U;
        (void)munmap(map, length);
    }
    free(flags);
    *ret_bytes = pages * unit;
    return r;
}

int pagecache_resident(enum residency how, const struct pagecache_span *span, uint64_t *ret_bytes)
{
    int r = 0;

    *ret_bytes = 0;
    if (how == RESIDENCY_CACHESTAT)
        r = resident_cachestat(span, ret_bytes);
    else if (how == RESIDENCY_MINCORE)
        r = resident_mincore(span, ret_bytes);
    if (*ret_bytes > span->bytes)
        *ret_bytes = span->bytes; /* the first and last page may extend past the span */
    return r;
}

void pagecache_open(struct pagecache *cache, enum drop_policy policy, const char *drop_path,
                    const struct pagecache_span *span)
{
    uint64_t bytes;

    *cache = (struct pagecache){.policy = policy, .residency = RESIDENCY_NONE};
    cache->drop_fd = open(drop_path, O_WRONLY | O_CLOEXEC);
    if (cache->drop_fd < 0)
        (void)snprintf(cache->reason, sizeof(cache->reason), "cannot write %s: %s", drop_path,
                       strerror(errno));
    if (pagecache_resident(RESIDENCY_CACHESTAT, span, &bytes) == 0)
        cache->residency = RESIDENCY_CACHESTAT;
    else if (mincore_is_true(span->fd) && pagecache_resident(RESIDENCY_MINCORE, span, &bytes) == 0)
        cache->residency = RESIDENCY_MINCORE;
}

void pagecache_close(struct pagecache *cache)
{
    if (cache->drop_fd >= 0)
        (void)close(cache->drop_fd);
    cache->drop_fd = -1;
}

enum eviction pagecache_plan(const struct pagecache *cache, bool write, enum request_drop asked,
                             uint64_t resident_bytes)
{
    bool by_policy = asked == REQUEST_DROP_BY_POLICY;
    bool first_read = cache->policy == DROP_AUTO && !write && !cache->read_before;

    if (asked == REQUEST_DROP_YES || (by_policy && (cache->policy == DROP_ALWAYS || first_read)))
        return EVICT_HOST;
    if (cache->policy == DROP_NEVER || resident_bytes <= cache->kept_bytes)
        return EVICT_CLEAN;
    return EVICT_SPAN;
}

/* pwrite at offset 0: with kernel.sysctl_writes_strict=1, writes at other offsets are ignored. */
static bool drop_host(const struct pagecache *cache)
{
    return cache->drop_fd >= 0 && pwrite(cache->drop_fd, "1", 1, 0) == 1;
}

/* posix_fadvise(2) leaves pages that its range has only a part of. */
static void evict_pages(const struct pagecache_span *span)
{
    uint64_t unit = page_bytes(), start = span->offset / unit * unit;
    uint64_t end = round_up(span->offset + span->bytes, unit);

    (void)posix_fadvise(span->fd, (off_t)start, (off_t)(end - start), POSIX_FADV_DONTNEED);
}

bool pagecache_evict(struct pagecache *cache, const struct pagecache_span *span, bool write,
                     enum eviction how)
{
    bool dropped = false;
    uint64_t bytes;

    cache->read_before = cache->read_before || !write;
    /* Only clean pages can be evicted. syncfs() on a device node would sync devtmpfs. */
    if (how == EVICT_HOST && cache->drop_fd >= 0 && !span->device)
        (void)syncfs(span->fd);
    else if (how != EVICT_CLEAN)
        (void)fdatasync(span->fd);
    evict_pages(span);
    if (how == EVICT_CLEAN)
        return false;
    if (how == EVICT_HOST)
        dropped = drop_host(cache);
    if (pagecache_resident(cache->residency, span, &bytes) < 0)
        bytes = 0;
    /* A mounted filesystem pins its metadata in the device's cache, and other processes the pages
     * they have mapped. Another eviction would not free them, but slow those processes. */
    cache->kept_bytes = bytes;
    return dropped;
}
