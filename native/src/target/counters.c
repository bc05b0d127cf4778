#include "target/counters.h"

#include "target/sysblock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECTOR_BYTES 512

/* Returns false if queue/iostats is 0. For a partition it is one level up. */
static bool is_counting(const char *stat_path)
{
    char directory[PATH_MAX];
    char *slash;
    uint64_t value;

    (void)snprintf(directory, sizeof(directory), "%s", stat_path);
    slash = strrchr(directory, '/');
    if (!slash)
        return true;
    *slash = '\0';
    if (sysblock_number(directory, "queue/iostats", &value) == 0)
        return value != 0;
    if (sysblock_number(directory, "../queue/iostats", &value) == 0)
        return value != 0;
    return true;
}

static int read_one(int fd, struct counters_reading *ret)
{
    char text[512];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n < 0)
        return -errno;
    text[n] = '\0';
    return counters_parse(text, ret);
}

/* Opens one more stat file. Returns false beyond COUNTERS_MAX, if the file cannot be read, or if
 * the device does not count its I/O. */
static bool add(struct counters *counters, const char *path)
{
    struct counters_reading reading;
    int fd;

    if (counters->count == COUNTERS_MAX)
        return false;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    counters->fds[counters->count++] = fd;
    return read_one(fd, &reading) == 0 && is_counting(path);
}

void counters_open(struct counters *counters, const char *sys_root, const char *path, dev_t device)
{
    char paths[PATH_MAX];
    char *rest = paths, *one;

    *counters = (struct counters){.live = false};
    if (path) {
        (void)snprintf(counters->path, sizeof(counters->path), "%s", path);
    } else {
        char disk[PATH_MAX];

        if (sysblock_disk(sys_root, device, disk) < 0 || strlen(disk) + sizeof("/stat") > PATH_MAX)
            return;
        (void)strcpy(counters->path, disk);
        (void)strcat(counters->path, "/stat");
    }
    (void)strcpy(paths, counters->path);
    counters->live = true;
    while ((one = strsep(&rest, ",")))
        counters->live = add(counters, one) && counters->live;
}

void counters_close(struct counters *counters)
{
    while (counters->count > 0)
        (void)close(counters->fds[--counters->count]);
    counters->live = false;
}

int counters_parse(const char *text, struct counters_reading *ret)
{
    struct counters_reading found;

    if (sscanf(text,
               "%" SCNu64 " %" SCNu64 " %" SCNu64 " %*u %" SCNu64 " %" SCNu64 " %" SCNu64 " %*u",
               &found.read.ios, &found.read.merges, &found.read.bytes, &found.write.ios,
               &found.write.merges, &found.write.bytes) != 6)
        return -ENODATA;
    found.read.bytes *= SECTOR_BYTES;
    found.write.bytes *= SECTOR_BYTES;
    *ret = found;
    return 0;
}

static void add_part(struct counters_part *sum, const struct counters_part *one)
{
    sum->bytes += one->bytes;
    sum->ios += one->ios;
    sum->merges += one->merges;
}

static struct counters_part part_since(const struct counters_part *now,
                                       const struct counters_part *before)
{
    return (struct counters_part){.bytes = now->bytes - before->bytes,
                                  .ios = now->ios - before->ios,
                                  .merges = now->merges - before->merges};
}

struct counters_reading counters_since(const struct counters_reading *now,
                                       const struct counters_reading *before)
{
    return (struct counters_reading){.read = part_since(&now->read, &before->read),
                                     .write = part_since(&now->write, &before->write)};
}

int counters_read(const struct counters *counters, struct counters_reading *ret)
{
    struct counters_reading sum = {0};

    if (counters->count == 0)
        return -ENOENT;
    for (unsigned i = 0; i < counters->count; i++) {
        struct counters_reading one;
        int r = read_one(counters->fds[i], &one);

        if (r < 0)
            return r;
        add_part(&sum.read, &one.read);
        add_part(&sum.write, &one.write);
    }
    *ret = sum;
    return 0;
}
