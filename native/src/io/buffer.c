#include "io/buffer.h"

#include "io/page_sizes.h"
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

/* Fills memory with zeros, and so allocates its pages. A store into a page that the kernel cannot
 * allocate raises SIGBUS; read(2) fails with EFAULT. */
static int read_zeros(char *data, size_t bytes)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 0;

    for (size_t at = 0; n >= 0 && at < bytes; at += (size_t)n)
        do
            n = read(fd, data + at, bytes - at);
        while (n < 0 && errno == EINTR);
    if (n < 0)
        n = -errno;
    if (fd >= 0)
        (void)close(fd);
    return n < 0 ? (int)n : 0;
}

/* Allocates all pages. */
static int populate(char *data, size_t bytes)
{
    if (madvise(data, bytes, MADV_POPULATE_WRITE) == 0)
        return 0;
    return errno == EINVAL ? read_zeros(data, bytes) : -errno; /* EINVAL: before Linux 5.14 */
}

/* Maps reserved pages of that size. Fails, and takes none, if too few are free. */
static int map_reserved(struct buffer *buffer, uint64_t huge_bytes)
{
    unsigned size = (unsigned)__builtin_ctzll(huge_bytes) << MAP_HUGE_SHIFT;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (int)size;
    size_t length = (size_t)round_up(buffer->bytes, huge_bytes);
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

static int map_hugetlb(struct buffer *buffer, const struct page_sizes *sizes)
{
    int r = -ENOMEM;

    for (unsigned i = 0; r < 0 && i < sizes->reserved; i++)
        if (sizes->reserved_bytes[i] <= buffer->bytes)
            r = map_reserved(buffer, sizes->reserved_bytes[i]);
    return r;
}

/* Maps memory that begins at a multiple of `unit`, a multiple of the page size. Returns NULL and
 * sets errno if there is none. */
static char *map_aligned(size_t bytes, size_t unit)
{
    char *map =
        mmap(NULL, bytes + unit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (map == MAP_FAILED)
        return NULL;
    before = (size_t)(round_up((uintptr_t)map, unit) - (uintptr_t)map);
    if (before > 0)
        (void)munmap(map, before);
    (void)munmap(map + before + bytes, unit - before);
    return map + before;
}

/* Nothing is mapped after the part that transparent huge pages are asked for: with one of 512 MiB,
 * 256 MiB of buffer would take 512. */
static int map_pages(struct buffer *buffer, const struct page_sizes *sizes)
{
    uint64_t huge = page_sizes_thp_span(sizes, buffer->bytes);
    uint64_t own = round_up(buffer->bytes, sizes->page_bytes);

    buffer->map_bytes = (size_t)(huge > own ? huge : own);
    buffer->data =
        map_aligned(buffer->map_bytes, (size_t)(huge > 0 ? sizes->thp_bytes : sizes->page_bytes));
    if (!buffer->data)
        return -errno;
    buffer->map = buffer->data;
    /* Also where it has none of them: the kernel may have smaller ones (Linux 6.8). */
    (void)madvise(buffer->data, buffer->map_bytes, MADV_HUGEPAGE);
    return populate(buffer->data, (size_t)buffer->bytes);
}

static int allocate(struct buffer *buffer, const struct page_sizes *sizes, uint64_t ballast_bytes)
{
    size_t length = (size_t)round_up(buffer->bytes, sizes->page_bytes);
    struct recycled recycled;
    int r;

    recycled_take(&recycled, ballast_bytes, length);
    r = -posix_memalign(&buffer->allocated, (size_t)sizes->page_bytes, length);
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
    uint64_t unit = page_bytes(), entries[512], last = 0, runs = 0;
    uint64_t pages = round_up(buffer->bytes, unit) / unit, done = 0;
    off_t offset = (off_t)((uintptr_t)buffer->data / unit * sizeof(uint64_t));
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
    return fd >= 0 && done == pages ? pages * unit / runs : 0;
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
                const struct page_sizes *sizes, uint64_t ballast_bytes, struct fault *fault)
{
    *buffer = (struct buffer){.bytes = bytes, .backing = "pages"};
    if (bytes > SIZE_MAX / 4)
        return fault_set(fault, FAULT_SYSTEM, "memory", ENOMEM,
                         "--max-transfer-bytes=%" PRIu64
                         ": more than the address space; give a smaller size",
                         bytes);
    if (pages != BUFFER_HUGETLB || map_hugetlb(buffer, sizes) < 0) {
        int r = pages == BUFFER_CONSUMER ? allocate(buffer, sizes, ballast_bytes)
                                         : map_pages(buffer, sizes);

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
