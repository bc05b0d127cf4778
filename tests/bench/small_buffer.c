/*
 * LD_PRELOAD for aio-sweep in vs_fio.py: its one large buffer becomes a few huge pages, mapped again and again.
 *
 * fio reuses block size x depth bytes, which stay in the CPU's caches; a consumer's buffer is as large as its transfer,
 * and so is ours. Where a CPU copies the data that alone is worth 1.5x. With this both engines have the same memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE (2UL << 20)

typedef void *map_function(void *, size_t, int, int, int, off_t);

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    map_function *map = (map_function *)dlsym(RTLD_NEXT, "mmap");
    size_t window = strtoul(getenv("SMALL_BUFFER_BYTES"), NULL, 10), whole = length / window * window;
    char *start;
    int pages;

    if (!(flags & MAP_ANONYMOUS) || length < 64 * HUGE_PAGE || whole != length)
        return map(address, length, protection, flags, fd, offset);
    pages = memfd_create("small-buffer", MFD_HUGETLB);
    if (pages < 0 || ftruncate(pages, (off_t)window) < 0)
        return MAP_FAILED;
    start = map(NULL, length + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED)
        return MAP_FAILED;
    start += -(unsigned long)start % HUGE_PAGE;
    for (size_t at = 0; at < length; at += window)
        if (map(start + at, window, protection, MAP_SHARED | MAP_FIXED, pages, 0) == MAP_FAILED)
            return MAP_FAILED;
    close(pages);
    return start;
}
