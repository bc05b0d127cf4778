#include "counters.h"

#include "sysblock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECTOR_BYTES 512

/* False only if queue/iostats, beside the stat file or (for a partition's) one level up, says 0. */
static bool accounts(const char *stat_path)
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

void counters_open(struct counters *counters, const char *sys_root, const char *path, dev_t device)
{
    struct counters_reading reading;

    *counters = (struct counters){.fd = -1};
    if (path) {
        (void)snprintf(counters->path, sizeof(counters->path), "%s", path);
    } else {
        char disk[PATH_MAX];

        if (sysblock_disk(sys_root, device, disk) < 0 || strlen(disk) + sizeof("/stat") > PATH_MAX)
            return;
        (void)strcpy(counters->path, disk);
        (void)strcat(counters->path, "/stat");
    }
    counters->fd = open(counters->path, O_RDONLY | O_CLOEXEC);
    counters->live = counters_read(counters, &reading) == 0 && accounts(counters->path);
}

void counters_close(struct counters *counters)
{
    if (counters->fd >= 0)
        (void)close(counters->fd);
    counters->fd = -1;
    counters->live = false;
}

int counters_parse(const char *text, struct counters_reading *ret)
{
    uint64_t read_sectors, write_sectors;

    if (sscanf(text, "%*u %*u %" SCNu64 " %*u %*u %*u %" SCNu64 " %*u", &read_sectors,
               &write_sectors) != 2)
        return -ENODATA;
    ret->read_bytes = read_sectors * SECTOR_BYTES;
    ret->write_bytes = write_sectors * SECTOR_BYTES;
    return 0;
}

int counters_read(const struct counters *counters, struct counters_reading *ret)
{
    char text[512];
    ssize_t n;

    if (counters->fd < 0)
        return -ENOENT;
    n = pread(counters->fd, text, sizeof(text) - 1, 0);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    return counters_parse(text, ret);
}
