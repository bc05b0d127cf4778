#include "check.h"
#include "target/pagecache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 64 };

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
        bool dropped_before;
        enum request_drop asked;
        uint64_t resident, kept;
        bool wanted;
    } table[] = {
        {DROP_AUTO, false, REQUEST_DROP_BY_POLICY, 0, 0, true},
        {DROP_AUTO, true, REQUEST_DROP_BY_POLICY, 0, 0, false},
        {DROP_AUTO, true, REQUEST_DROP_BY_POLICY, 4096, 0, true},
        {DROP_AUTO, true, REQUEST_DROP_BY_POLICY, 8192, 8192, false},
        {DROP_AUTO, true, REQUEST_DROP_BY_POLICY, 12288, 8192, true},
        {DROP_AUTO, false, REQUEST_DROP_BY_POLICY, 8192, 8192, true},
        {DROP_AUTO, false, REQUEST_DROP_NO, 4096, 0, false},
        {DROP_AUTO, true, REQUEST_DROP_YES, 0, 0, true},
        {DROP_ALWAYS, true, REQUEST_DROP_BY_POLICY, 0, 0, true},
        {DROP_ALWAYS, true, REQUEST_DROP_NO, 0, 0, false},
        {DROP_NEVER, false, REQUEST_DROP_BY_POLICY, 4096, 0, false},
        {DROP_NEVER, false, REQUEST_DROP_YES, 0, 0, true},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct pagecache cache = {.policy = table[i].policy,
                                  .dropped_for = {false, table[i].dropped_before},
                                  .kept_bytes = table[i].kept};

        CHECK(pagecache_wants_drop(&cache, true, table[i].asked, table[i].resident) ==
              table[i].wanted);
    }
}

/* With a file of our own in place of /proc/sys/vm/drop_caches. */
static void dropping(int fd)
{
    char path[] = "/tmp/aio-sweep-drop-XXXXXX", got[8] = "";
    struct pagecache_span span = {.fd = fd, .bytes = PAGES * PAGE};
    struct pagecache cache;
    uint64_t bytes;
    int drop_fd = mkstemp(path);

    CHECK(drop_fd >= 0);
    pagecache_open(&cache, DROP_AUTO, path, &span);
    CHECK(cache.drop_fd >= 0 && cache.reason[0] == '\0');
    CHECK(cache.residency != RESIDENCY_NONE);
    CHECK(!pagecache_evict(&cache, &span, false, false));
    CHECK(!cache.dropped_for[0]);
    CHECK(pagecache_evict(&cache, &span, false, true));
    CHECK(cache.dropped_for[0] && !cache.dropped_for[1]);
    CHECK(pread(drop_fd, got, sizeof(got) - 1, 0) == 1);
    CHECK_TEXT(got, "1");
    CHECK(pagecache_resident(cache.residency, &span, &bytes) == 0);
    pagecache_close(&cache);
    (void)unlink(path);
    (void)close(drop_fd);

    pagecache_open(&cache, DROP_AUTO, "/nowhere/drop_caches", &span);
    CHECK(cache.drop_fd < 0 && strstr(cache.reason, "/nowhere/drop_caches"));
    CHECK(!pagecache_evict(&cache, &span, false, true));
    pagecache_close(&cache);
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
    (void)close(fd);
    return check_result();
}
