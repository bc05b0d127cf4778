#include "target/cachewatch.h"

#include "io/page_sizes.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* At 1 GiB/s through the page cache, the pages of a 16 MiB transfer stay for 16 ms and those of
 * MINCORE_BYTES for 4 ms: both are sampled at least once. */
#define INTERVAL_NS   2000000
#define MINCORE_BYTES (UINT64_C(4) << 20)
#define SMALLEST_PAGE 4096 /* of any kernel */

static uint64_t resident_in_map(const struct cachewatch *watch)
{
    static unsigned char flags[MINCORE_BYTES / SMALLEST_PAGE]; /* only one watch runs at a time */
    uint64_t unit = page_bytes(), bytes = 0;

    if (mincore(watch->map, (size_t)watch->span.bytes, flags) < 0)
        return 0;
    for (uint64_t at = 0; at < watch->span.bytes; at += unit)
        bytes += (flags[at / unit] & 1U) * unit;
    return bytes;
}

static uint64_t resident(const struct cachewatch *watch)
{
    uint64_t bytes;

    if (watch->map)
        return resident_in_map(watch);
    return pagecache_resident(RESIDENCY_CACHESTAT, &watch->span, &bytes) == 0 ? bytes : 0;
}

static void *sample(void *argument)
{
    struct cachewatch *watch = argument;
    const struct timespec pause = {.tv_nsec = INTERVAL_NS};
    struct pollfd stop = {.fd = watch->stop_fd, .events = POLLIN};

    while (ppoll(&stop, 1, &pause, NULL) <= 0) {
        uint64_t bytes = resident(watch);

        if (bytes > watch->most_bytes)
            watch->most_bytes = bytes;
    }
    return NULL;
}

/* Maps at most MINCORE_BYTES from `first` on for mincore(2). Returns false if that fails. */
static bool map(struct cachewatch *watch, uint64_t first)
{
    uint64_t end = watch->span.offset + watch->span.bytes;
    void *at;

    watch->span.offset = first / page_bytes() * page_bytes();
    watch->span.bytes = end - watch->span.offset;
    if (watch->span.bytes > MINCORE_BYTES)
        watch->span.bytes = MINCORE_BYTES;
    at = mmap(NULL, (size_t)watch->span.bytes, PROT_READ, MAP_SHARED, watch->span.fd,
              (off_t)watch->span.offset);
    watch->map = at == MAP_FAILED ? NULL : at;
    return watch->map != NULL;
}

static void release(struct cachewatch *watch)
{
    if (watch->map)
        (void)munmap(watch->map, (size_t)watch->span.bytes);
    if (watch->stop_fd >= 0)
        (void)close(watch->stop_fd);
    watch->map = NULL;
    watch->stop_fd = -1;
}

void cachewatch_start(struct cachewatch *watch, enum residency how,
                      const struct pagecache_span *span, uint64_t first)
{
    *watch = (struct cachewatch){.span = *span, .stop_fd = -1};
    if (how == RESIDENCY_NONE || (how == RESIDENCY_MINCORE && !map(watch, first)))
        return;
    watch->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (watch->stop_fd < 0 || pthread_create(&watch->thread, NULL, sample, watch) != 0)
        release(watch);
}

uint64_t cachewatch_stop(struct cachewatch *watch)
{
    if (watch->stop_fd < 0)
        return 0;
    (void)eventfd_write(watch->stop_fd, 1);
    (void)pthread_join(watch->thread, NULL);
    release(watch);
    return watch->most_bytes;
}
