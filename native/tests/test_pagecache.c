#include "check.h"
#include "target/pagecache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 64 };

#define BY_POLICY REQUEST_DROP_BY_POLICY
#define NO        REQUEST_DROP_NO
#define YES       REQUEST_DROP_YES

static void residency(enum residency how, int fd)
{
    struct pagecache_span all = {.fd = fd, .bytes = PAGES * PAGE};
    struct pagecache_span part = {.fd = fd, .offset = 8 * PAGE + 512, .bytes = PAGE};
    uint64_t bytes = 1;

    if (pagecache_resident(how, &all, &bytes) < 0) {
        (void)fprintf(stderr, "method %d is not available here\n", (int)how);
        return;
    }
    CHECK(bytes == PAGES * PAGE);
    CHECK(pagecache_resident(how, &part, &bytes) == 0 && bytes == PAGE);
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
    char page[PAGE];

    for (int i = 0; i < PAGES; i++)
        CHECK(pread(fd, page, PAGE, i * PAGE) == PAGE);
}

/* A temporary file stands for /proc/sys/vm/drop_caches. */
static void dropping(int fd)
{
    char path[] = "/tmp/aio-sweep-drop-XXXXXX", got[8] = "";
    struct pagecache_span span = {.fd = fd, .bytes = PAGES * PAGE};
    struct pagecache cache;
    int drop_fd = mkstemp(path);
    char *mapped;

    CHECK(drop_fd >= 0);
    pagecache_open(&cache, DROP_AUTO, path, &span);
    CHECK(cache.drop_fd >= 0 && cache.reason[0] == '\0');
    CHECK(cache.residency != RESIDENCY_NONE);
    CHECK(!pagecache_evict(&cache, &span, true, EVICT_CLEAN));
    CHECK(!cache.read_before);
    CHECK(resident(&cache, &span) > 0); /* dirty pages stay */
    CHECK(!pagecache_evict(&cache, &span, true, EVICT_SPAN));
    CHECK(resident(&cache, &span) == 0 && cache.kept_bytes == 0);

    cache_again(fd);
    CHECK(!pagecache_evict(&cache, &span, false, EVICT_SPAN));
    CHECK(cache.read_before && resident(&cache, &span) == 0);
    CHECK(pread(drop_fd, got, sizeof(got) - 1, 0) == 0);

    /* Mapped pages stay resident, and cause no drop of the pages of the host. */
    mapped = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    CHECK(mapped != MAP_FAILED && mapped[0] == 'x');
    CHECK(!pagecache_evict(&cache, &span, false, EVICT_SPAN));
    CHECK(pread(drop_fd, got, sizeof(got) - 1, 0) == 0);
    CHECK(cache.kept_bytes == resident(&cache, &span) && cache.kept_bytes > 0);
    CHECK(pagecache_plan(&cache, false, REQUEST_DROP_BY_POLICY, cache.kept_bytes) == EVICT_CLEAN);
    (void)munmap(mapped, PAGE);

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

/* mincore(2) counts every page of a file that this user may not write as resident, also those that
 * are not: then the residency is unknown. */
static void foreign_files(void)
{
    char path[] = "/tmp/aio-sweep-foreign-XXXXXX";
    int own = mkstemp(path), fd = open(path, O_RDONLY | O_CLOEXEC);
    struct pagecache_span span = {.fd = fd, .bytes = PAGES * PAGE};
    struct pagecache cache;
    uint64_t bytes;

    CHECK(own >= 0 && fd >= 0 && ftruncate(own, PAGES * PAGE) == 0);
    (void)unlink(path);
    if (geteuid() == 0 && seteuid(65534) == 0) {
        CHECK(pagecache_resident(RESIDENCY_MINCORE, &span, &bytes) == 0);
        CHECK(bytes == PAGES * PAGE); /* not one is */
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
    char path[] = "/tmp/aio-sweep-cache-XXXXXX", page[PAGE];
    int fd = mkstemp(path);

    CHECK(fd >= 0);
    (void)unlink(path);
    memset(page, 'x', sizeof(page));
    for (int i = 0; i < PAGES; i++)
        CHECK(write(fd, page, PAGE) == PAGE);
    residency(RESIDENCY_CACHESTAT, fd);
    residency(RESIDENCY_MINCORE, fd);
    policies();
    dropping(fd);
    foreign_files();
    (void)close(fd);
    return check_result();
}
