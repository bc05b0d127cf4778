#include "io/buffer.h"

#include "io/recycled.h"
#include "io/stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_BYTES (UINT64_C(2) << 20)
#define THP_POLICY "/sys/kernel/mm/transparent_hugepage/enabled"

/* Fields of an entry of /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_FRAME   ((UINT64_C(1) << 55) - 1)

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* Allocates all pages. MADV_POPULATE_WRITE (Linux 5.14) returns an error where a plain write would
 * raise SIGBUS (hugetlb) or wake the OOM killer. */
static int populate(char *data, size_t bytes)
{
    if (madvise(data, bytes, MADV_POPULATE_WRITE) == 0)
        return 0;
    if (errno != EINVAL)
        return -errno;
    for (size_t at = 0; at < bytes; at += 4096)
        *(volatile char *)(data + at) = 0;
    return 0;
}

/* Maps reserved 2 MiB pages. Fails, and takes none, if too few are free. */
static int map_hugetlb(struct buffer *buffer)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT);
    size_t length = (size_t)round_up(buffer->bytes, HUGE_BYTES);
    void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (map == MAP_FAILED)
        return -errno;
    if (populate(map, length) < 0) {
        (void)munmap(map, length);
        return -ENOMEM;
    }
    buffer->map = buffer->data = map;
    buffer->map_bytes = length;
    buffer->backing = "hugetlb";
    return 0;
}

static int map_pages(struct buffer *buffer)
{
    size_t length = (size_t)(round_up(buffer->bytes, HUGE_BYTES) + HUGE_BYTES);
    void *map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t used = (size_t)round_up(buffer->bytes, HUGE_BYTES);

    if (map == MAP_FAILED)
        return -errno;
    buffer->map = map;
    buffer->map_bytes = length;
    buffer->data = (char *)map + (round_up((uintptr_t)map, HUGE_BYTES) - (uintptr_t)map);
    (void)madvise(buffer->data, used, MADV_HUGEPAGE);
    return populate(buffer->data, (size_t)buffer->bytes);
}

static int allocate(struct buffer *buffer, uint64_t ballast_bytes)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    size_t length = (size_t)round_up(buffer->bytes, page_bytes);
    struct recycled recycled;
    int r;

    recycled_take(&recycled, ballast_bytes, length);
    r = -posix_memalign(&buffer->allocated, (size_t)page_bytes, length);
    if (r == 0) {
        buffer->data = buffer->allocated;
        r = populate(buffer->data, length);
    }
    recycled_give_back(&recycled);
    return r;
}

/* Returns the mean length of the runs of pages that follow each other in physical memory; 0 if the
 * kernel shows no frame numbers, which needs CAP_SYS_ADMIN. */
static uint64_t mean_run_bytes(const struct buffer *buffer)
{
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE), entries[512], last = 0, runs = 0;
    uint64_t pages = round_up(buffer->bytes, page_bytes) / page_bytes, done = 0;
    off_t offset = (off_t)((uintptr_t)buffer->data / page_bytes * sizeof(uint64_t));
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && done < pages) {
        uint64_t wanted = pages - done < 512 ? pages - done : 512;
        ssize_t n = pread(fd, entries, wanted * sizeof(uint64_t),
                          offset + (off_t)(done * sizeof(uint64_t)));

        if (n != (ssize_t)(wanted * sizeof(uint64_t)))
            break;
        for (uint64_t i = 0; i < wanted; i++) {
            uint64_t frame = entries[i] & PAGEMAP_PRESENT ? entries[i] & PAGEMAP_FRAME : 0;

            if (frame == 0)
                goto out;
            runs += frame != last + 1;
            last = frame;
        }
        done += wanted;
    }
out:
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 && done == pages ? pages * page_bytes / runs : 0;
}

/* Sums the huge page fields of the mappings that overlap [start, end). */
static uint64_t huge_bytes(uintptr_t start, uintptr_t end)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    char line[512];
    bool overlaps = false;
    uint64_t sum_kib = 0;

    if (!smaps)
        return 0;
    while (fgets(line, sizeof(line), smaps)) {
        uintptr_t low, high;
        uint64_t kib;

        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &low, &high) == 2)
            overlaps = low < end && high > start;
        else if (overlaps && (sscanf(line, "AnonHugePages: %" SCNu64 " kB", &kib) == 1 ||
                              sscanf(line, "Private_Hugetlb: %" SCNu64 " kB", &kib) == 1))
            sum_kib += kib;
    }
    (void)fclose(smaps);
    return sum_kib * 1024;
}

int buffer_open(struct buffer *buffer, uint64_t bytes, enum buffer_pages pages,
                uint64_t ballast_bytes, struct fault *fault)
{
    *buffer = (struct buffer){.bytes = bytes, .backing = "pages"};
    if (bytes > SIZE_MAX - 2 * HUGE_BYTES)
        return fault_set(fault, FAULT_SYSTEM, "memory", ENOMEM,
                         "--max-transfer-bytes=%" PRIu64
                         ": more than the address space; give a smaller size",
                         bytes);
    if (pages != BUFFER_HUGETLB || map_hugetlb(buffer) < 0) {
        int r = pages == BUFFER_CONSUMER ? allocate(buffer, ballast_bytes) : map_pages(buffer);

        if (r < 0) {
            buffer_close(buffer);
            return fault_set(fault, FAULT_SYSTEM, "memory", -r,
                             "I/O buffer of %" PRIu64
                             " bytes: %s; give a smaller --max-transfer-bytes",
                             bytes, strerror(-r));
        }
    }
    buffer->locked = mlock(buffer->data, (size_t)bytes) == 0;
    buffer->huge_bytes = huge_bytes((uintptr_t)buffer->data, (uintptr_t)buffer->data + bytes);
    if (buffer->huge_bytes > bytes)
        buffer->huge_bytes = bytes; /* the last huge page extends past the end */
    if (buffer->huge_bytes > 0 && buffer->backing[0] == 'p')
        buffer->backing = "thp";
    buffer->mean_run_bytes = mean_run_bytes(buffer);
    buffer_fill(buffer, 0);
    return 0;
}

void buffer_close(struct buffer *buffer)
{
    if (buffer->map)
        (void)munmap(buffer->map, buffer->map_bytes);
    if (buffer->allocated && buffer->locked)
        (void)munlock(buffer->data, (size_t)buffer->bytes);
    free(buffer->allocated);
    *buffer = (struct buffer){0};
}

void buffer_thp_policy(char ret[static 16])
{
    FILE *file = fopen(THP_POLICY, "re");
    char line[64] = ""; /* `always [madvise] never` */
    const char *start;

    if (file) {
        (void)!fgets(line, sizeof(line), file);
        (void)fclose(file);
    }
    start = strchr(line, '[');
    if (!start || sscanf(start, "[%15[a-z]]", ret) != 1)
        ret[0] = '\0';
}

void buffer_fill(struct buffer *buffer, uint64_t seed)
{
    uint64_t words = buffer->bytes / sizeof(uint64_t), base = stamp_mix(~seed);
    uint64_t *data = (uint64_t *)(void *)buffer->data;

    for (uint64_t i = 0; i < words; i++)
        data[i] = stamp_mix(base + i);
    buffer->random = true;
}

void buffer_stamp(struct buffer *buffer, uint64_t bytes, uint64_t seed)
{
    uint64_t base = stamp_mix(seed ^ UINT64_C(0x5bd1e995)) ^ seed << 40;

    for (uint64_t at = 0; at + STAMP_SECTOR <= bytes; at += STAMP_SECTOR)
        stamp_write(buffer->data + at, &buffer->key, stamp_mix(base + at));
}
