/* I/O counters of the block device: proof that bytes came from the device and not from a cache. */
#ifndef AIO_SWEEP_COUNTERS_H
#define AIO_SWEEP_COUNTERS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define COUNTERS_MAX 16

struct counters {
    int fds[COUNTERS_MAX];
    unsigned count;
    bool live;           /* all files can be read and all devices count their I/O */
    char path[PATH_MAX]; /* as in `hello`; "" without counters */
};

struct counters_part {
    uint64_t bytes;
    uint64_t ios, merges; /* requests completed, and those merged into another before */
};

struct counters_reading {
    struct counters_part read, write;
};

/* Opens the comma-separated stat files of `path`, whose counters are summed; if `path` is NULL, the
 * stat file of the disk of `device` under sys_root. On failure ->live is false. */
void counters_open(struct counters *counters, const char *sys_root, const char *path, dev_t device);
void counters_close(struct counters *counters);

/* Reads and sums all files. Returns 0 or -errno. */
int counters_read(const struct counters *counters, struct counters_reading *ret);

/* Subtracts an earlier reading. */
struct counters_reading counters_since(const struct counters_reading *now,
                                       const struct counters_reading *before);

/* Parses the text of a stat file (Documentation/block/stat.rst; a sector is always 512 bytes).
 * Returns 0 or -ENODATA. */
int counters_parse(const char *text, struct counters_reading *ret);

#endif
