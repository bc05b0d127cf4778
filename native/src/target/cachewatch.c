#include "target/cachewatch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A filesystem that writes 1 GiB/s through the cache holds the pages of a 16 MiB transfer for 16 ms.
 */
#define LOOK_EVERY_NS 2000000

static void *look(void *argument)
{
    struct cachewatch *watch = argument;
    const struct timespec pause = {.tv_nsec = LOOK_EVERY_NS};
    struct pollfd stop = {.fd = watch->stop_fd, .events = POLLIN};
    uint64_t bytes;

    while (ppoll(&stop, 1, &pause, NULL) <= 0)
        if (pagecache_resident(RESIDENCY_CACHESTAT, &watch->span, &bytes) == 0 &&
            bytes > watch->most_bytes)
            watch->most_bytes = bytes;
    return NULL;
}

void cachewatch_start(struct cachewatch *watch, const struct pagecache *cache,
                      const struct pagecache_span *span)
{
    *watch = (struct cachewatch){.span = *span, .stop_fd = -1};
    if (cache->residency != RESIDENCY_CACHESTAT)
        return;
    watch->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (watch->stop_fd >= 0 && pthread_create(&watch->thread, NULL, look, watch) != 0) {
        (void)close(watch->stop_fd);
        watch->stop_fd = -1;
    }
}

uint64_t cachewatch_stop(struct cachewatch *watch)
{
    if (watch->stop_fd < 0)
        return 0;
    (void)eventfd_write(watch->stop_fd, 1);
    (void)pthread_join(watch->thread, NULL);
    (void)close(watch->stop_fd);
    watch->stop_fd = -1;
    return watch->most_bytes;
}
