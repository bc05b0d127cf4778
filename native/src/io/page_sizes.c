#include "io/page_sizes.h"

#include "target/sysblock.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define SPARE_PART 16

uint64_t page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* Adds a size at its place in the descending list. */
static void add(struct page_sizes *sizes, uint64_t bytes)
{
    unsigned at = sizes->reserved;

    if (at == PAGE_SIZES_MAX)
        return;
    for (; at > 0 && sizes->reserved_bytes[at - 1] < bytes; at--)
        sizes->reserved_bytes[at] = sizes->reserved_bytes[at - 1];
    sizes->reserved_bytes[at] = bytes;
    sizes->reserved++;
}

void page_sizes_find(struct page_sizes *ret, const char *sys_root)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *folder;

    *ret = (struct page_sizes){.page_bytes = page_bytes()};
    if (sysblock_number(sys_root, "kernel/mm/transparent_hugepage/hpage_pmd_size",
                        &ret->thp_bytes) < 0 ||
        !is_power_of_two(ret->thp_bytes))
        ret->thp_bytes = 0;
    if (snprintf(path, sizeof(path), "%s/kernel/mm/hugepages", sys_root) >= PATH_MAX)
        return;
    folder = opendir(path);
    while (folder && (entry = readdir(folder))) {
        uint64_t kib;

        if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &kib) == 1 && is_power_of_two(kib))
            add(ret, kib * 1024);
    }
    if (folder)
        (void)closedir(folder);
}

uint64_t page_sizes_thp_span(const struct page_sizes *sizes, uint64_t bytes)
{
    uint64_t whole;

    if (sizes->thp_bytes == 0)
        return 0;
    whole = round_up(bytes, sizes->thp_bytes);
    return whole - bytes <= bytes / SPARE_PART ? whole
                                               : bytes / sizes->thp_bytes * sizes->thp_bytes;
}

uint64_t page_sizes_reserved(const struct page_sizes *sizes, uint64_t bytes)
{
    for (unsigned i = 0; i < sizes->reserved; i++)
        if (sizes->reserved_bytes[i] <= bytes)
            return sizes->reserved_bytes[i];
    return 0;
}
