#include "io/recycled.h"

#include "io/page_sizes.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* A page of 64 KiB is as long as a free block should be. */
#define SMALL_BYTES (UINT64_C(64) << 10)

/* Sums the lengths of the CPU's lists over all zones: each has a line "cpu: N" and then one of
 * "count: PAGES" for each CPU. */
static uint64_t listed_pages(int wanted)
{
    FILE *file = fopen("/proc/zoneinfo", "re");
    uint64_t sum = 0, pages;
    char line[256];
    int cpu = -1;

    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, " cpu: %d", &cpu) == 1)
            continue;
        if (cpu == wanted && sscanf(line, " count: %" SCNu64, &pages) == 1) {
            sum += pages;
            cpu = -1;
        }
    }
    (void)fclose(file);
    return sum;
}

uint64_t recycled_small_bytes(const char *zone, uint64_t page)
{
    uint64_t sum = 0, blocks;
    int length = 0;

    if (sscanf(zone, "Node %*d, zone %*s%n", &length) < 0 || length == 0)
        return 0;
    for (uint64_t bytes = page; bytes < SMALL_BYTES; bytes *= 2) {
        zone += length;
        if (sscanf(zone, "%" SCNu64 "%n", &blocks, &length) != 1)
            break;
        sum += blocks * bytes;
    }
    return sum;
}

/* Sums the node's free blocks below 64 KiB, which the kernel hands out first. */
static uint64_t small_bytes(uint64_t page)
{
    FILE *file = fopen("/proc/buddyinfo", "re");
    char line[512];
    uint64_t sum = 0;

    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        sum += recycled_small_bytes(line, page);
    (void)fclose(file);
    return sum;
}

static bool pin(struct recycled *recycled, int cpu)
{
    cpu_set_t only;

    CPU_ZERO(&only);
    if (cpu < 0 || cpu >= CPU_SETSIZE ||
        sched_getaffinity(0, sizeof(recycled->allowed), &recycled->allowed) < 0)
        return false;
    CPU_SET((size_t)cpu, &only);
    return sched_setaffinity(0, sizeof(only), &only) == 0;
}

/* Limits what is taken from the free memory of all to a quarter of it. */
static uint64_t few(uint64_t bytes, uint64_t page)
{
    long available = sysconf(_SC_AVPHYS_PAGES); /* MemFree, without the CPUs' lists */
    uint64_t most = available > 0 ? (uint64_t)available / 4 * page : 0;

    return bytes < most ? bytes : most;
}

/* Returns NULL if there is no memory. */
static void *take(size_t bytes)
{
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (data == MAP_FAILED)
        return NULL;
    /* The lists have single pages. A kernel without MADV_POPULATE_WRITE (5.14) has short lists. */
    (void)madvise(data, bytes, MADV_NOHUGEPAGE);
    (void)madvise(data, bytes, MADV_POPULATE_WRITE);
    return data;
}

void recycled_take(struct recycled *recycled, uint64_t most_bytes, size_t next_bytes)
{
    uint64_t unit = page_bytes(), left = most_bytes;
    int cpu = sched_getcpu();

    *recycled = (struct recycled){0};
    recycled->pinned = most_bytes > 0 && pin(recycled, cpu);
    /* Other processes may end on this CPU during a round. */
    for (size_t round = 0; recycled->pinned && round < RECYCLED_ROUNDS; round++) {
        uint64_t bytes = listed_pages(cpu) * unit + (round == 0 ? few(small_bytes(unit), unit) : 0);

        if (bytes > left)
            bytes = left;
        /* A few pages out of order make no difference. */
        if (bytes <= next_bytes / 64)
            break;
        recycled->maps[round].data = take((size_t)bytes);
        recycled->maps[round].bytes = (size_t)bytes;
        left -= bytes;
    }
}

void recycled_give_back(struct recycled *recycled)
{
    for (size_t round = 0; round < RECYCLED_ROUNDS; round++) {
        if (recycled->maps[round].data)
            (void)munmap(recycled->maps[round].data, recycled->maps[round].bytes);
    }
    if (recycled->pinned)
        (void)sched_setaffinity(0, sizeof(recycled->allowed), &recycled->allowed);
    *recycled = (struct recycled){0};
}
