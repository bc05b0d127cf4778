#include "check.h"
#include "io/buffer.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* No byte value far more frequent than another, no 8 bytes twice: neither an entropy coder nor a
 * matcher finds anything. */
static void is_noise(const struct buffer *buffer)
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

int main(void)
{
    enum { BYTES = 3 << 20 };
    struct buffer buffer;
    struct fault fault;
    char *before = malloc(BYTES);

    if (!before)
        abort();
    CHECK(buffer_open(&buffer, BYTES, &fault) == 0);
    CHECK(buffer.bytes == BYTES && buffer.huge_bytes <= BYTES && buffer.random);
    CHECK((uintptr_t)buffer.data % (2U << 20) == 0);
    is_noise(&buffer);
    memcpy(before, buffer.data, BYTES);
    buffer_stamp(&buffer, BYTES, 1);
    is_noise(&buffer);
    for (size_t at = 0; at < BYTES; at += 512)
        CHECK(memcmp(before + at, buffer.data + at, 512) != 0);
    memcpy(before, buffer.data, BYTES);
    buffer_stamp(&buffer, BYTES, 2);
    for (size_t at = 0; at < BYTES; at += 512)
        CHECK(memcmp(before + at, buffer.data + at, 512) != 0);
    buffer_close(&buffer);

    CHECK(buffer_open(&buffer, 1000, &fault) == 0);
    CHECK(buffer.bytes == 1000);
    buffer_close(&buffer);
    CHECK(buffer_open(&buffer, UINT64_C(1) << 60, &fault) < 0);
    CHECK(fault.code == FAULT_SYSTEM);
    free(before);
    return check_result();
}
