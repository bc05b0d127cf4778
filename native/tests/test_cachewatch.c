#include "check.h"
#include "target/cachewatch.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 64 };

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void wait_200_ms(void)
{
    struct timespec pause = {.tv_nsec = 200000000};

    while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
        continue;
}

static void watching(enum residency how, int fd)
{
    struct pagecache_span span = {.fd = fd, .bytes = PAGES * page()};
    uint64_t bytes;
    struct cachewatch watch;
    char *pages;

    if (pagecache_resident(how, &span, &bytes) < 0) {
        (void)fprintf(stderr, "method %d is not available here\n", (int)how);
        return;
    }
    CHECK(ftruncate(fd, 0) == 0 && ftruncate(fd, (off_t)(PAGES * page())) == 0);
    cachewatch_start(&watch, how, &span, 0);
    wait_200_ms();
    CHECK(cachewatch_stop(&watch) == 0);

    /* Pages that are mapped stay in the page cache while other programs drop it. */
    cachewatch_start(&watch, how, &span, 0);
    pages = mmap(NULL, 16 * page(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(pages != MAP_FAILED && madvise(pages, 16 * page(), MADV_RANDOM) == 0);
    for (size_t i = 0; i < 16; i++)
        pages[i * page()] = 'x';
    wait_200_ms();
    CHECK(cachewatch_stop(&watch) == 16 * page());

    /* mincore(2) covers only the range of the first transfer. */
    cachewatch_start(&watch, how, &span, 12 * page() + 512);
    wait_200_ms();
    CHECK(cachewatch_stop(&watch) == (how == RESIDENCY_MINCORE ? 4U : 16U) * page());
    CHECK(munmap(pages, 16 * page()) == 0);
}

int main(void)
{
    char path[] = "/tmp/aio-sweep-watch-XXXXXX";
    int fd = mkstemp(path);
    struct pagecache_span span = {.fd = fd, .bytes = PAGES * page()};
    struct cachewatch watch;

    CHECK(fd >= 0);
    (void)unlink(path);
    watching(RESIDENCY_CACHESTAT, fd);
    watching(RESIDENCY_MINCORE, fd);
    cachewatch_start(&watch, RESIDENCY_NONE, &span, 0);
    CHECK(cachewatch_stop(&watch) == 0);
    (void)close(fd);
    return check_result();
}
