#include "check.h"
#include "target/cachewatch.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 64 };

static void wait_a_little(void)
{
    struct timespec pause = {.tv_nsec = 200000000};

    while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
        continue;
}

int main(void)
{
    char path[] = "/tmp/aio-sweep-watch-XXXXXX", page[PAGE];
    int fd = mkstemp(path);
    struct pagecache_span span = {.fd = fd, .bytes = PAGES * PAGE};
    struct pagecache cache;
    struct cachewatch watch;

    CHECK(fd >= 0);
    (void)unlink(path);
    pagecache_open(&cache, DROP_NEVER, "/dev/null", &span);
    if (cache.residency != RESIDENCY_CACHESTAT) {
        (void)fprintf(stderr, "cachestat is not available here\n");
        return CHECK_SKIP;
    }
    CHECK(ftruncate(fd, PAGES * PAGE) == 0);
    cachewatch_start(&watch, &cache, &span);
    wait_a_little();
    CHECK(cachewatch_stop(&watch) == 0);

    cachewatch_start(&watch, &cache, &span);
    memset(page, 'x', sizeof(page));
    for (int i = 0; i < 16; i++)
        CHECK(write(fd, page, PAGE) == PAGE);
    wait_a_little();
    CHECK(cachewatch_stop(&watch) == UINT64_C(16) * PAGE);

    cache.residency = RESIDENCY_MINCORE;
    cachewatch_start(&watch, &cache, &span);
    CHECK(cachewatch_stop(&watch) == 0);
    pagecache_close(&cache);
    (void)close(fd);
    return check_result();
}
