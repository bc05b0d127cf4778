#include "target/trim.h"

#include "context.h"
#include "io/move.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EXTENTS 256 /* of one FIEMAP */
/* Extents whose location on the device is unknown or shared with another file. */
#define NO_LOCATION                                                               \
    (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC | FIEMAP_EXTENT_NOT_ALIGNED | \
     FIEMAP_EXTENT_SHARED)

static int by_start(const void *left, const void *right)
{
    uint64_t a = ((const struct trim_range *)left)->start;
    uint64_t b = ((const struct trim_range *)right)->start;

    return a < b ? -1 : a > b;
}

size_t trim_join(struct trim_range *ranges, size_t count)
{
    size_t left = 0;

    if (count == 0)
        return 0;
    qsort(ranges, count, sizeof(*ranges), by_start);
    for (size_t i = 1; i < count; i++) {
        struct trim_range *last = &ranges[left];

        if (ranges[i].start <= last->start + last->bytes) {
            uint64_t end = ranges[i].start + ranges[i].bytes;

            if (end > last->start + last->bytes)
                last->bytes = end - last->start;
        } else {
            ranges[++left] = ranges[i];
        }
    }
    return left + 1;
}

struct trim_work {
    int fd, new_fd; /* new_fd: of the second scratch file, or -1 */
    struct trim *trim;
    const char *op; /* the call that failed */
    int errnum;     /* 0: success */
    uint64_t trimmed;
};

/* Adds the file's extents. Returns 0 or -errno. */
static int add_extents(struct trim *trim, int fd)
{
    size_t bytes = sizeof(struct fiemap) + EXTENTS * sizeof(struct fiemap_extent);
    struct fiemap *map = malloc(bytes);
    uint64_t start = 0;
    int r = 0;
    bool last = false;

    if (!map)
        return -ENOMEM;
    while (!last) {
        struct trim_range *grown;

        memset(map, 0, bytes);
        map->fm_start = start;
        map->fm_length = FIEMAP_MAX_OFFSET - start;
        map->fm_flags = FIEMAP_FLAG_SYNC;
        map->fm_extent_count = EXTENTS;
        if (ioctl(fd, FS_IOC_FIEMAP, map) < 0) {
            r = -errno;
            break;
        }
        if (map->fm_mapped_extents == 0)
            break;
        grown = reallocarray(trim->ranges, trim->count + map->fm_mapped_extents, sizeof(*grown));
        if (!grown) {
            r = -ENOMEM;
            break;
        }
        trim->ranges = grown;
        for (uint32_t i = 0; i < map->fm_mapped_extents; i++) {
            const struct fiemap_extent *extent = &map->fm_extents[i];

            last = extent->fe_flags & FIEMAP_EXTENT_LAST;
            start = extent->fe_logical + extent->fe_length;
            if (!(extent->fe_flags & NO_LOCATION))
                trim->ranges[trim->count++] =
                    (struct trim_range){extent->fe_physical, extent->fe_length};
        }
    }
    free(map);
    /* A file that is written again and again gets the same blocks again. */
    trim->count = trim_join(trim->ranges, trim->count);
    return r;
}

void trim_remember(struct context *context, int fd)
{
    if (context->options->trim)
        (void)add_extents(&context->trim, fd);
}

static void trim_extents(void *argument)
{
    struct trim_work *work = argument;
    const struct trim *trim = work->trim;

    work->op = "FIEMAP";
    work->errnum = -add_extents(work->trim, work->fd);
    if (work->errnum == 0 && work->new_fd >= 0)
        work->errnum = -add_extents(work->trim, work->new_fd);
    if (work->errnum)
        return;
    /* FITRIM discards blocks only after the transaction that frees them is committed. */
    work->op = "ftruncate";
    if (ftruncate(work->fd, 0) < 0 || (work->new_fd >= 0 && ftruncate(work->new_fd, 0) < 0))
        goto fail;
    work->op = "syncfs";
    if (syncfs(work->fd) < 0)
        goto fail;
    work->op = "FITRIM";
    for (size_t i = 0; i < trim->count; i++) {
        struct fstrim_range range = {.start = trim->ranges[i].start, .len = trim->ranges[i].bytes};

        if (ioctl(work->fd, FITRIM, &range) < 0)
            goto fail;
        work->trimmed += range.len;
    }
    return;
fail:
    work->errnum = errno;
}

void trim_scratch(struct context *context)
{
    struct phase phase = {.name = "trim", .total = context->target.span};
    struct trim_work work = {
        .fd = context->target.fd, .new_fd = context->target.new_fd, .trim = &context->trim};

    if (!context->options->trim || context->target.fd < 0)
        return;
    move_run_with_ticks(context, trim_extents, &work, &phase);
    context->bytes_trimmed = work.trimmed;
    free(context->trim.ranges);
    context->trim = (struct trim){0};
    if (work.errnum)
        (void)fprintf(stderr, "aio-sweep: %s: space not returned: %s: %s; run fstrim\n",
                      context->target.path, work.op, strerror(work.errnum));
}
