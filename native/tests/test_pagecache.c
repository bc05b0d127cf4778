#include "check.h"
#include "target/pagecache.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 64 };

/* Stand-ins for a kernel with larger pages: the size of one, and how many are in the page cache. */
static uint64_t page_size;
static unsigned cached_pages;

uint64_t __real_page_bytes(void);
uint64_t __wrap_page_bytes(void);
int __real_mincore(void *address, size_t length, unsigned char *flags);
int __wrap_mincore(void *address, size_t length, unsigned char *flags);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

uint64_t __wrap_page_bytes(void)
{
    return page_size ? page_size : __real_page_bytes();
}

int __wrap_mincore(void *address, size_t length, unsigned char *flags)
{
    if (page_size == 0)
        return __real_mincore(address, length, flags);
    for (size_t i = 0; i < (length + page_size - 1) / page_size; i++)
        flags[i] = i < cached_pages;
    return 0;
}

/* Of cachestat(2), which is the only one that is called by its number. */
long __wrap_syscall(long number, ...)
{
    va_list args;
    int fd;
    void *range;
    uint64_t *pages;

    va_start(args, number);
    fd = va_arg(args, int);
    range = va_arg(args, void *);
    pages = va_arg(args, uint64_t *);
    va_end(args);
    if (page_size == 0)
        return __real_syscall(number, fd, range, pages, 0);
    pages[0] = cached_pages;
    return 0;
}

static size_t page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

#define BY_POLICY REQUEST_DROP_BY_POLICY
#define NO        REQUEST_DROP_NO
#define YES       REQUEST_DROP_YES

static void residency(enum residency how, int fd)
{
    struct pagecache_span all = {.fd = fd, .bytes = PAGES * page()};
    struct pagecache_span part = {.fd = fd, .offset = 8 * page() + 512, .bytes = page()};
    uint64_t bytes = 1;

    if (pagecache_resident(how, &all, &bytes) < 0) {
        (void)fprintf(stderr, "method %d is not available here\n", (int)how);
        return;
    }
    CHECK(bytes == PAGES * page());
    CHECK(pagecache_resident(how, &part, &bytes) == 0 && bytes == page());
}

/* A page counts with its size, up to the size of the span, which may be less than one page. */
static void larger_pages(int fd)
{
    static const uint64_t sizes[] = {4096, 16384, 65536};
    static const enum residency methods[] = {RESIDENCY_CACHESTAT, RESIDENCY_MINCORE};
    uint64_t bytes;

    for (unsigned i = 0; i < 3; i++) {
        if (sizes[i] < page())
            continue; /* mmap(2) takes no offset within a page */
        for (unsigned how = 0; how < 2; how++) {
            struct pagecache_span span = {.fd = fd, .bytes = 4 * sizes[i]};

            page_size = sizes[i];
            for (cached_pages = 0; cached_pages <= 4; cached_pages++) {
                CHECK(pagecache_resident(methods[how], &span, &bytes) == 0);
                CHECK(bytes == cached_pages * sizes[i]);
            }
            span.offset = sizes[i] + 512;
            span.bytes = 1024;
            cached_pages = 1;
            CHECK(pagecache_resident(methods[how], &span, &bytes) == 0 && bytes == 1024);
        }
    }
    page_size = 0;
}

static void policies(void)
{
    static const struct {
        enum drop_policy policy;
        bool write, read_before;
        enum request_drop asked;
        uint64_t resident, kept;
        enum eviction planned;
    } table[] = {
        /* auto: once, before the first read */
        {DROP_AUTO, false, false, BY_POLICY, 0, 0, EVICT_HOST},
        {DROP_AUTO, false, false, BY_POLICY, 8192, 8192, EVICT_HOST},
        {DROP_AUTO, false, true, BY_POLICY, 0, 0, EVICT_CLEAN},
        {DROP_AUTO, false, true, BY_POLICY, 4096, 0, EVICT_SPAN},
        {DROP_AUTO, false, true, BY_POLICY, 8192, 8192, EVICT_CLEAN},
        {DROP_AUTO, false, true, BY_POLICY, 12288, 8192, EVICT_SPAN},
        /* a write never drops the pages of the host */
        {DROP_AUTO, true, false, BY_POLICY, 0, 0, EVICT_CLEAN},
        {DROP_AUTO, true, true, BY_POLICY, 4096, 0, EVICT_SPAN},
        {DROP_AUTO, false, false, NO, 0, 0, EVICT_CLEAN},
        {DROP_AUTO, false, false, NO, 4096, 0, EVICT_SPAN},
        {DROP_AUTO, true, true, YES, 0, 0, EVICT_HOST},
        {DROP_ALWAYS, true, true, BY_POLICY, 0, 0, EVICT_HOST},
        {DROP_ALWAYS, false, true, BY_POLICY, 0, 0, EVICT_HOST},
        {DROP_ALWAYS, true, true, NO, 0, 0, EVICT_CLEAN},
        {DROP_FILE, false, false, BY_POLICY, 0, 0, EVICT_CLEAN},
        {DROP_FILE, false, false, BY_POLICY, 4096, 0, EVICT_SPAN},
        {DROP_FILE, true, true, BY_POLICY, 4096, 0, EVICT_SPAN},
        {DROP_NEVER, false, false, BY_POLICY, 4096, 0, EVICT_CLEAN},
        {DROP_NEVER, false, false, YES, 0, 0, EVICT_HOST},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct pagecache cache = {.policy = table[i].policy,
                                  .read_before = table[i].read_before,
                                  .kept_bytes = table[i].kept};
        enum eviction planned =
            pagecache_plan(&cache, table[i].write, table[i].asked, table[i].resident);

        if (planned != table[i].planned)
            (void)fprintf(stderr, "  row %zu -> %d\n", i, (int)planned);
        CHECK(planned == table[i].planned);
    }
}

static uint64_t resident(const struct pagecache *cache, const struct pagecache_span *span)
{
    uint64_t bytes = 1;

    CHECK(pagecache_resident(cache->residency, span, &bytes) == 0);
    return bytes;
}

static void cache_again(int fd)
{
    char byte;

    for (size_t i = 0; i < PAGES; i++)
        CHECK(pread(fd, &byte, 1, (off_t)(i * page())) == 1);
}

/* A temporary file stands for /proc/sys/vm/drop_caches. */
static void dropping(int fd)
{
    char path[] = "/var/tmp/aio-sweep-drop-XXXXXX", got[8] = "";
    struct pagecache_span span = {.fd = fd, .bytes = PAGES * page()};
    struct pagecache cache;
    int drop_fd = mkstemp(path);
    char *mapped;

    CHECK(drop_fd >= 0);
    pagecache_open(&cache, DROP_AUTO, path, &span);
    CHECK(cache.drop_fd >= 0 && cache.reason[0] == '\0');
    CHECK(cache.residency != RESIDENCY_NONE);
    CHECK(!pagecache_evict(&cache, &span, true, EVICT_CLEAN));
    CHECK(!cache.read_before); /* dirty pages stay, but where the disk is faster than this test */
    CHECK(!pagecache_evict(&cache, &span, true, EVICT_SPAN));
    CHECK(resident(&cache, &span) == 0 && cache.kept_bytes == 0);

    cache_again(fd);
    CHECK(!pagecache_evict(&cache, &span, false, EVICT_SPAN));
    CHECK(cache.read_before && resident(&cache, &span) == 0);
    CHECK(pread(drop_fd, got, sizeof(got) - 1, 0) == 0);

    /* Mapped pages stay resident, and cause no drop of the pages of the host. */
    mapped = mmap(NULL, page(), PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    CHECK(mapped != MAP_FAILED && mapped[0] == 'x');
    CHECK(!pagecache_evict(&cache, &span, false, EVICT_SPAN));
    CHECK(pread(drop_fd, got, sizeof(got) - 1, 0) == 0);
    CHECK(cache.kept_bytes == resident(&cache, &span) && cache.kept_bytes > 0);
    CHECK(pagecache_plan(&cache, false, REQUEST_DROP_BY_POLICY, cache.kept_bytes) == EVICT_CLEAN);
    (void)munmap(mapped, page());

    CHECK(pagecache_evict(&cache, &span, false, EVICT_HOST));
    CHECK(pread(drop_fd, got, sizeof(got) - 1, 0) == 1);
    CHECK_TEXT(got, "1");
    CHECK(cache.kept_bytes == 0);
    pagecache_close(&cache);
    (void)unlink(path);
    (void)close(drop_fd);

    pagecache_open(&cache, DROP_AUTO, "/nowhere/drop_caches", &span);
    CHECK(cache.drop_fd < 0 && strstr(cache.reason, "/nowhere/drop_caches"));
    cache_again(fd);
    CHECK(!pagecache_evict(&cache, &span, false, EVICT_HOST));
    CHECK(resident(&cache, &span) == 0);
    pagecache_close(&cache);
}

/* A span that begins and ends within pages, which it shares with its neighbours. With pages of 64
 * KiB that is usual: spans are multiples of the I/O alignment. */
static void partial_pages(int fd)
{
    struct pagecache_span span = {.fd = fd, .offset = 8 * page() + 512, .bytes = 2 * page()};
    struct pagecache cache;

    pagecache_open(&cache, DROP_FILE, "/nowhere", &span);
    /* Without read-ahead, whose folios are larger than the span, and are not evicted in part. */
    CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) == 0);
    cache_again(fd);
    CHECK(resident(&cache, &span) == 2 * page());
    CHECK(!pagecache_evict(&cache, &span, false, EVICT_SPAN));
    CHECK(resident(&cache, &span) == 0 && cache.kept_bytes == 0);
    pagecache_close(&cache);
}

/* mincore(2) counts every page of a file that this user may not write as resident, also those that
 * are not: then the residency is unknown. */
static void foreign_files(void)
{
    char path[] = "/var/tmp/aio-sweep-foreign-XXXXXX";
    int own = mkstemp(path), fd = open(path, O_RDONLY | O_CLOEXEC);
    struct pagecache_span span = {.fd = fd, .bytes = PAGES * page()};
    struct pagecache cache;
    uint64_t bytes;

    CHECK(own >= 0 && fd >= 0 && ftruncate(own, (off_t)(PAGES * page())) == 0);
    (void)unlink(path);
    if (geteuid() == 0 && seteuid(65534) == 0) {
        CHECK(pagecache_resident(RESIDENCY_MINCORE, &span, &bytes) == 0);
        CHECK(bytes == PAGES * page()); /* not one is */
        pagecache_open(&cache, DROP_NEVER, "/nowhere", &span);
        CHECK(cache.residency != RESIDENCY_MINCORE);
        pagecache_close(&cache);
        CHECK(seteuid(0) == 0);
    }
    pagecache_open(&cache, DROP_NEVER, "/nowhere", &span);
    CHECK(cache.residency != RESIDENCY_NONE);
    CHECK(resident(&cache, &span) == 0);
    pagecache_close(&cache);
    (void)close(fd);
    (void)close(own);
}

int main(void)
{
    /* On disk: /tmp may be in memory (Debian 13), where nothing is evicted. */
    char path[] = "/var/tmp/aio-sweep-cache-XXXXXX";
    int fd = mkstemp(path);
    char *whole = malloc(page());

    CHECK(fd >= 0 && whole && ftruncate(fd, (off_t)(PAGES * page())) == 0);
    (void)unlink(path);
    /* Of a page of several blocks that is written in part, mincore(2) says that it is not there. */
    memset(whole, 'x', page());
    for (size_t i = 0; i < PAGES; i++)
        CHECK(pwrite(fd, whole, page(), (off_t)(i * page())) == (ssize_t)page());
    free(whole);
    residency(RESIDENCY_CACHESTAT, fd);
    residency(RESIDENCY_MINCORE, fd);
    larger_pages(fd);
    policies();
    dropping(fd);
    partial_pages(fd);
    foreign_files();
    (void)close(fd);
    return check_result();
}
