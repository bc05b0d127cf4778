/*
 * The sizes of pages on this host: of the kernel's own, of transparent huge pages, and of those
 * that an administrator can reserve. On x86-64 they are 4 KiB, 2 MiB, and 2 MiB or 1 GiB. On arm64
 * a kernel has pages of 4, 16 or 64 KiB, and transparent ones of 2, 32 or 512 MiB.
 */
#ifndef AIO_SWEEP_PAGE_SIZES_H
#define AIO_SWEEP_PAGE_SIZES_H

#include <stdint.h>

#define PAGE_SIZES_MAX 16

struct page_sizes {
    uint64_t page_bytes;
    uint64_t thp_bytes;                      /* 0: the kernel has no transparent huge pages */
    uint64_t reserved_bytes[PAGE_SIZES_MAX]; /* descending */
    unsigned reserved;
};

/* Returns the size of the kernel's pages. */
uint64_t page_bytes(void);

/* Reads all sizes; sys_root is /sys. */
void page_sizes_find(struct page_sizes *ret, const char *sys_root);

/* Returns how much memory to ask in transparent huge pages for a buffer of so many bytes: none if
 * one is larger than the buffer; one that begins in the buffer and ends after it only if that adds
 * no more than a sixteenth. */
uint64_t page_sizes_thp_span(const struct page_sizes *sizes, uint64_t bytes);

/* Returns the largest size of reserved pages that are no larger than a buffer of so many bytes, 0
 * if there is none. */
uint64_t page_sizes_reserved(const struct page_sizes *sizes, uint64_t bytes);

static inline uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

#endif
