/* The block device's own counters: the proof that bytes came from the device and not from a cache.
 */
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
    bool live;           /* can be read, and the devices do account */
    char path[PATH_MAX]; /* "" if there are none */
};

struct counters_reading {
    uint64_t read_bytes, write_bytes;
};

/* Opens the stat files of `path`, separated by commas, which are summed; or with NULL that of the
 * disk of `device` under sys_root. Never fails: see ->live. */
void counters_open(struct counters *counters, const char *sys_root, const char *path, dev_t device);
void counters_close(struct counters *counters);

/* Returns 0 or -errno. */
int counters_read(const struct counters *counters, struct counters_reading *ret);

/* Pure: the text of a stat file (Documentation/block/stat.rst; sectors are of 512 bytes always). */
int counters_parse(const char *text, struct counters_reading *ret);

#endif
