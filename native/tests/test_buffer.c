#include "check.h"
#include "io/buffer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);

/* Stand-ins for HugePages_Free: whether enough are free, and the number of requests for them. */
static bool reserved_free;
static int reserved_requests;

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (flags & MAP_HUGETLB) {
        reserved_requests++;
        if (!reserved_free) {
            errno = ENOMEM;
            return MAP_FAILED;
        }
        flags &= (int)~(MAP_HUGETLB | 63U << MAP_HUGE_SHIFT);
    }
    return __real_mmap(address, length, protection, flags, fd, offset);
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

    reserved_free = true;
    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGE, 0, &fault) == 0);
    CHECK(reserved_requests == 0 && strcmp(buffer.backing, "hugetlb") != 0);
    buffer_close(&buffer);

    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGETLB, 0, &fault) == 0);
    CHECK(reserved_requests == 1);
    CHECK_TEXT(buffer.backing, "hugetlb");
    buffer_close(&buffer);

    reserved_free = false;
    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGETLB, 0, &fault) == 0);
    CHECK(reserved_requests == 2 && strcmp(buffer.backing, "hugetlb") != 0);
    buffer_close(&buffer);
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
    CHECK(buffer_open(&buffer, BYTES, BUFFER_CONSUMER, 0, &fault) == 0);
    CHECK((uintptr_t)buffer.data % 4096 == 0);
    if (strcmp(policy, "always") != 0) {
        CHECK(buffer.huge_bytes == 0);
        CHECK_TEXT(buffer.backing, "pages");
    }
    CHECK(buffer.mean_run_bytes <= BYTES);
    CHECK(buffer.mean_run_bytes == 0 || buffer.mean_run_bytes >= 4096);
    check_incompressible(&buffer);
    buffer_close(&buffer);

    /* A huge page is one run. */
    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGE, 0, &fault) == 0);
    if (buffer.huge_bytes == BYTES && buffer.mean_run_bytes > 0)
        CHECK(buffer.mean_run_bytes >= 2 << 20);
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
    CHECK(buffer_open(&buffer, BYTES, BUFFER_HUGE, 0, &fault) == 0);
    CHECK(buffer.bytes == BYTES && buffer.huge_bytes <= BYTES && buffer.random);
    CHECK((uintptr_t)buffer.data % (2U << 20) == 0);
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

    CHECK(buffer_open(&buffer, 1000, BUFFER_HUGE, 0, &fault) == 0);
    CHECK(buffer.bytes == 1000);
    buffer_close(&buffer);
    CHECK(buffer_open(&buffer, UINT64_C(1) << 60, BUFFER_HUGE, 0, &fault) < 0);
    CHECK(fault.code == FAULT_SYSTEM);
    free(before);
    reserved_pages();
    consumer_pages();
    return check_result();
}
