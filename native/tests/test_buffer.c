#include "check.h"
#include "io/buffer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);

int __real_madvise(void *address, size_t length, int advice);
int __wrap_madvise(void *address, size_t length, int advice);

#define KIB UINT64_C(1024)
#define MIB (KIB << 10)
#define GIB (KIB << 20)

/* This host, or one with other page sizes. */
static struct page_sizes sizes;

/* Stand-ins for HugePages_Free: the size of the pages of which enough are free, and the sizes and
 * lengths of the requests for them. */
static uint64_t reserved_free;
static uint64_t reserved_sizes[PAGE_SIZES_MAX], reserved_lengths[PAGE_SIZES_MAX];
static int reserved_requests;
/* The memory that transparent huge pages were asked for, and the error of MADV_POPULATE_WRITE. */
static struct {
    uintptr_t start;
    size_t length;
} asked;
static int populate_error;
static size_t longest_map;

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (flags & MAP_HUGETLB) {
        uint64_t size = UINT64_C(1) << ((unsigned)flags >> MAP_HUGE_SHIFT & 63U);

        reserved_sizes[reserved_requests] = size;
        reserved_lengths[reserved_requests++] = length;
        if (reserved_free != size) {
            errno = ENOMEM;
            return MAP_FAILED;
        }
        flags &= (int)~(MAP_HUGETLB | 63U << MAP_HUGE_SHIFT);
    }
    if (length > longest_map)
        longest_map = length;
    return __real_mmap(address, length, protection, flags, fd, offset);
}

int __wrap_madvise(void *address, size_t length, int advice)
{
    if (advice == MADV_HUGEPAGE) {
        asked.start = (uintptr_t)address;
        asked.length = length;
    }
    if (advice == MADV_POPULATE_WRITE && populate_error) {
        errno = populate_error;
        return -1;
    }
    return __real_madvise(address, length, advice);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Checks that all byte values are about equally frequent, against entropy coding, and that no 8
 * bytes repeat, against match finding. */
static void check_incompressible(const struct buffer *buffer)
{
    uint64_t words = buffer->bytes / 8, counts[256] = {0}, *sorted = malloc(buffer->bytes);

    if (!sorted)
        abort();
    for (uint64_t i = 0; i < buffer->bytes; i++)
        counts[(unsigned char)buffer->data[i]]++;
    for (int i = 0; i < 256; i++)
        CHECK(counts[i] > buffer->bytes / 256 * 9 / 10 &&
              counts[i] < buffer->bytes / 256 * 11 / 10);
    memcpy(sorted, buffer->data, buffer->bytes);
    qsort(sorted, words, 8, compare);
    for (uint64_t i = 1; i < words; i++)
        CHECK(sorted[i] != sorted[i - 1]);
    free(sorted);
}

static void reserved_pages(void)
{
    enum { BYTES = 3 << 20 };
    struct buffer buffer;
    struct fault fault;

    sizes.reserved = 1;
    sizes.reserved_bytes[0] = 2 * MIB;
    reserved_free = 2 * MIB;
    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGE, &sizes, 0, &fault) == 0);
    CHECK(reserved_requests == 0 && strcmp(buffer.backing, "hugetlb") != 0);
    buffer_close(&buffer);

    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGETLB, &sizes, 0, &fault) == 0);
    CHECK(reserved_requests == 1 && reserved_lengths[0] == 4 * MIB);
    CHECK_TEXT(buffer.backing, "hugetlb");
    buffer_close(&buffer);

    reserved_free = 0;
    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGETLB, &sizes, 0, &fault) == 0);
    CHECK(reserved_requests == 2 && strcmp(buffer.backing, "hugetlb") != 0);
    buffer_close(&buffer);
}

/* The largest size of which enough are free, and none that is larger than the buffer. */
static void reserved_sizes_of_other_hosts(void)
{
    static const struct {
        uint64_t there[4], bytes, free, requests[4];
    } table[] = {
        {{GIB, 2 * MIB}, 8 * MIB, 2 * MIB, {2 * MIB}},
        {{GIB, 32 * MIB, 2 * MIB, 64 * KIB}, 32 * MIB, 32 * MIB, {32 * MIB}},
        {{GIB, 32 * MIB, 2 * MIB, 64 * KIB}, 32 * MIB, 2 * MIB, {32 * MIB, 2 * MIB}},
        {{GIB, 32 * MIB, 2 * MIB}, 31 * MIB, 32 * MIB, {2 * MIB}},
        {{16 * GIB, 512 * MIB, 2 * MIB}, 8 * MIB, 2 * MIB, {2 * MIB}},
        {{16 * GIB, 512 * MIB}, 8 * MIB, 512 * MIB, {0}},
        {{0}, 8 * MIB, 0, {0}},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct page_sizes other = {.page_bytes = page_bytes()};
        struct buffer buffer;
        struct fault fault;
        bool got = false;
        int requests = 0;

        for (; other.reserved < 4 && table[i].there[other.reserved] > 0; other.reserved++)
            other.reserved_bytes[other.reserved] = table[i].there[other.reserved];
        reserved_free = table[i].free;
        reserved_requests = 0;
        CHECK(buffer_open(&buffer, table[i].bytes, BUFFER_HUGETLB, &other, 0, &fault) == 0);
        for (; requests < 4 && table[i].requests[requests] > 0; requests++) {
            CHECK(reserved_sizes[requests] == table[i].requests[requests]);
            got |= table[i].requests[requests] == reserved_free;
        }
        CHECK(reserved_requests == requests);
        CHECK((strcmp(buffer.backing, "hugetlb") == 0) == got);
        buffer_close(&buffer);
    }
}

/* On a kernel with larger pages: the buffer begins at a multiple of its huge pages, and none is
 * asked for that is larger than the buffer. */
static void transparent_pages_of_other_hosts(void)
{
    static const struct {
        uint64_t page, thp, bytes, asked, unit;
    } table[] = {
        {4 * KIB, 2 * MIB, 8 * MIB, 8 * MIB, 2 * MIB},
        {4 * KIB, 2 * MIB, 3 * MIB, 3 * MIB, 2 * MIB},
        {4 * KIB, 2 * MIB, 34 * MIB - 512, 34 * MIB, 2 * MIB},
        {16 * KIB, 32 * MIB, 32 * MIB, 32 * MIB, 32 * MIB},
        {16 * KIB, 32 * MIB, 8 * MIB + 512, 8 * MIB + 16 * KIB, 16 * KIB},
        {64 * KIB, 512 * MIB, 64 * MIB, 64 * MIB, 64 * KIB},
        {64 * KIB, 512 * MIB, 512, 64 * KIB, 64 * KIB},
        {64 * KIB, 0, 8 * MIB, 8 * MIB, 64 * KIB},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct page_sizes other = {.page_bytes = table[i].page, .thp_bytes = table[i].thp};
        struct buffer buffer;
        struct fault fault;

        longest_map = 0;
        CHECK(buffer_open(&buffer, table[i].bytes, BUFFER_HUGE, &other, 0, &fault) == 0);
        CHECK((uintptr_t)buffer.data % table[i].unit == 0);
        CHECK(asked.start == (uintptr_t)buffer.data && asked.length == table[i].asked);
        CHECK(buffer.map_bytes == table[i].asked);
        CHECK(longest_map == table[i].asked + table[i].unit);
        memset(buffer.data, 1, buffer.bytes);
        buffer_close(&buffer);
        CHECK(buffer_open(&buffer, table[i].bytes, BUFFER_CONSUMER, &other, 0, &fault) == 0);
        CHECK((uintptr_t)buffer.data % table[i].page == 0);
        buffer_close(&buffer);
    }
}

/* Before Linux 5.14 the buffer is allocated by reading into it. */
static void without_populate(void)
{
    enum { BYTES = 8 << 20 };
    struct buffer buffer;
    struct fault fault = {0};

    reserved_free = 2 * MIB;
    reserved_requests = 0;
    for (int pages = BUFFER_CONSUMER; pages <= BUFFER_HUGETLB; pages++) {
        populate_error = EINVAL;
        CHECK(buffer_open(&buffer, BYTES, (enum buffer_pages)pages, &sizes, 0, &fault) == 0);
        check_incompressible(&buffer);
        buffer_close(&buffer);
        /* Without memory. */
        populate_error = EFAULT;
        CHECK(buffer_open(&buffer, BYTES, (enum buffer_pages)pages, &sizes, 0, &fault) == -1);
        CHECK(fault.code == FAULT_SYSTEM && fault.errnum == EFAULT && buffer.data == NULL);
    }
    populate_error = 0;
}

/* A consumer's buffer has huge pages only where the host gives them to all. */
static void consumer_pages(void)
{
    enum { BYTES = 16 << 20 };
    struct buffer buffer;
    struct fault fault;
    char policy[16];

    buffer_thp_policy(policy);
    CHECK(strcmp(policy, "always") == 0 || strcmp(policy, "madvise") == 0 ||
          strcmp(policy, "never") == 0 || policy[0] == '\0');
    CHECK(buffer_open(&buffer, BYTES, BUFFER_CONSUMER, &sizes, 0, &fault) == 0);
    CHECK((uintptr_t)buffer.data % page_bytes() == 0);
    if (strcmp(policy, "always") != 0) {
        CHECK(buffer.huge_bytes == 0);
        CHECK_TEXT(buffer.backing, "pages");
    }
    CHECK(buffer.mean_run_bytes <= BYTES);
    CHECK(buffer.mean_run_bytes == 0 || buffer.mean_run_bytes >= page_bytes());
    check_incompressible(&buffer);
    buffer_close(&buffer);

    /* A huge page is one run. */
    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGE, &sizes, 0, &fault) == 0);
    if (buffer.huge_bytes == BYTES && buffer.mean_run_bytes > 0)
        CHECK(buffer.mean_run_bytes >= sizes.thp_bytes);
    buffer_close(&buffer);
}

int main(void)
{
    enum { BYTES = 3 << 20 };
    struct buffer buffer;
    struct fault fault;
    char *before = malloc(BYTES);

    if (!before)
        abort();
    page_sizes_find(&sizes, "/sys");
    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGE, &sizes, 0, &fault) == 0);
    CHECK(buffer.bytes == BYTES && buffer.huge_bytes <= BYTES && buffer.random);
    if (page_sizes_thp_span(&sizes, BYTES) > 0)
        CHECK((uintptr_t)buffer.data % sizes.thp_bytes == 0);
    check_incompressible(&buffer);
    memcpy(before, buffer.data, BYTES);
    buffer_stamp(&buffer, BYTES, 1);
    check_incompressible(&buffer);
    for (size_t at = 0; at < BYTES; at += 512)
        CHECK(memcmp(before + at, buffer.data + at, 512) != 0);
    memcpy(before, buffer.data, BYTES);
    buffer_stamp(&buffer, BYTES, 2);
    for (size_t at = 0; at < BYTES; at += 512)
        CHECK(memcmp(before + at, buffer.data + at, 512) != 0);
    buffer_close(&buffer);

    CHECK(buffer_open(&buffer, 1000, BUFFER_HUGE, &sizes, 0, &fault) == 0);
    CHECK(buffer.bytes == 1000);
    buffer_close(&buffer);
    CHECK(buffer_open(&buffer, UINT64_C(1) << 60, BUFFER_HUGE, &sizes, 0, &fault) < 0);
    CHECK(fault.code == FAULT_SYSTEM);
    free(before);
    consumer_pages();
    reserved_pages();
    reserved_sizes_of_other_hosts();
    transparent_pages_of_other_hosts();
    without_populate();
    return check_result();
}
