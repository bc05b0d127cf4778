#include "check.h"
#include "io/page_sizes.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB UINT64_C(1024)
#define MIB (KIB << 10)
#define GIB (KIB << 20)

static char root[] = "/tmp/aio-sweep-sizes-XXXXXX";

static void run(const char *command)
{
    if (system(command) != 0)
        abort();
}

static void sys_of(const char *thp, const char *reserved)
{
    char command[1024];

    (void)snprintf(command, sizeof(command),
                   "cd %s && rm -rf kernel && mkdir -p kernel/mm && cd kernel/mm && "
                   "for size in %s; do mkdir -p hugepages/hugepages-$size; done && "
                   "if [ -n '%s' ]; then mkdir transparent_hugepage && "
                   "echo %s > transparent_hugepage/hpage_pmd_size; fi",
                   root, reserved, thp, thp);
    run(command);
}

/* As the kernels of these page sizes have them in /sys/kernel/mm. */
static void sizes_of_hosts(void)
{
    static const struct {
        const char *thp, *reserved;
        uint64_t thp_bytes, reserved_bytes[5];
    } hosts[] = {
        {"2097152", "2048kB 1048576kB", 2 * MIB, {GIB, 2 * MIB}},
        {"2097152",
         "1048576kB 32768kB 2048kB 64kB",
         2 * MIB,
         {GIB, 32 * MIB, 2 * MIB, 64 * KIB}}, /* arm64, 4K */
        {"33554432", "2048kB 32768kB 1048576kB", 32 * MIB, {GIB, 32 * MIB, 2 * MIB}}, /* 16K */
        {"536870912",
         "2048kB 16777216kB 524288kB",
         512 * MIB,
         {16 * GIB, 512 * MIB, 2 * MIB}}, /* 64K */
        {"", "", 0, {0}},                 /* neither is built in */
        {"nonsense", "3kB xkB", 0, {0}},
    };

    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct page_sizes sizes;
        unsigned count = 0;

        sys_of(hosts[i].thp, hosts[i].reserved);
        page_sizes_find(&sizes, root);
        CHECK(sizes.page_bytes == (uint64_t)sysconf(_SC_PAGESIZE));
        CHECK(sizes.thp_bytes == hosts[i].thp_bytes);
        for (; hosts[i].reserved_bytes[count] > 0; count++)
            CHECK(sizes.reserved_bytes[count] == hosts[i].reserved_bytes[count]);
        CHECK(sizes.reserved == count);
    }
}

static void more_sizes_than_kept(void)
{
    struct page_sizes sizes;
    char list[512] = "";

    for (unsigned shift = 2; shift < 32; shift++)
        (void)snprintf(list + strlen(list), sizeof(list) - strlen(list), "%ukB ", 1U << shift);
    sys_of("2097152", list);
    page_sizes_find(&sizes, root);
    CHECK(sizes.reserved == PAGE_SIZES_MAX);
    for (unsigned i = 1; i < sizes.reserved; i++)
        CHECK(sizes.reserved_bytes[i] < sizes.reserved_bytes[i - 1]);
}

static void spans_of_transparent_pages(void)
{
    static const struct {
        uint64_t thp, bytes, span;
    } table[] = {
        {0, 64 * MIB, 0},
        /* pages of 4 KiB */
        {2 * MIB, 4 * KIB, 0},
        {2 * MIB, 2 * MIB - 1, 2 * MIB},
        {2 * MIB, 2 * MIB, 2 * MIB},
        {2 * MIB, 3 * MIB, 2 * MIB},
        {2 * MIB, 64 * MIB, 64 * MIB},
        {2 * MIB, 63 * MIB, 64 * MIB},
        /* pages of 16 KiB */
        {32 * MIB, 16 * MIB, 0},
        {32 * MIB, 33 * MIB, 32 * MIB},
        {32 * MIB, 64 * MIB, 64 * MIB},
        /* pages of 64 KiB: one may be larger than the buffer */
        {512 * MIB, 64 * MIB, 0},
        {512 * MIB, 256 * MIB, 0},
        {512 * MIB, 512 * MIB, 512 * MIB},
        {512 * MIB, 600 * MIB, 512 * MIB},
        {512 * MIB, 1000 * MIB, GIB},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct page_sizes sizes = {.thp_bytes = table[i].thp};
        uint64_t span = page_sizes_thp_span(&sizes, table[i].bytes);

        if (span != table[i].span)
            (void)fprintf(stderr, "  row %zu -> %lu\n", i, (unsigned long)span);
        CHECK(span == table[i].span);
    }
}

int main(void)
{
    char command[64];

    if (!mkdtemp(root))
        abort();
    sizes_of_hosts();
    more_sizes_than_kept();
    spans_of_transparent_pages();
    sys_of("", "");
    run(strcat(strcpy(command, "rm -r "), root));
    return check_result();
}
