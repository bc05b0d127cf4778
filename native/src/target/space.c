#include "target/space.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Returns 0 or errno. */
static int free_bytes(int fd, uint64_t *found)
{
    struct statvfs status;

    *found = 0;
    if (fstatvfs(fd, &status) < 0)
        return errno;
    *found = (uint64_t)status.f_bavail * status.f_frsize;
    return 0;
}

int space_check(int fd, const char *path, uint64_t min_free_bytes, uint64_t span_bytes,
                struct fault *fault)
{
    uint64_t found;
    int r;

    if (min_free_bytes == 0)
        return 0;
    r = free_bytes(fd, &found);
    if (r != 0)
        return fault_set(fault, FAULT_IO, "space", r, "%s: free space cannot be read: %s", path,
                         strerror(r));
    if (found >= min_free_bytes && found - min_free_bytes >= span_bytes)
        return 0;
    return fault_set(fault, FAULT_LATER, "space", 0,
                     "%s: %" PRIu64 " bytes free, too few for a scratch file of %" PRIu64
                     " bytes and min_free of %" PRIu64 " bytes; free some space, or lower min_free",
                     path, found, span_bytes, min_free_bytes);
}

static void *watch_space(void *argument)
{
    struct space *space = argument;
    struct pollfd stop = {.fd = space->stop_fd, .events = POLLIN};

    while (poll(&stop, 1, SPACE_INTERVAL_MS) <= 0) {
        space->errnum = free_bytes(space->fd, &space->found_bytes);
        if (space->errnum == 0 && space->found_bytes >= space->min_free_bytes)
            continue;
        atomic_store(&space->tripped, true);
        (void)eventfd_write(space->tripped_fd, 1);
        /* Repeated, because a request submitted before the main thread woke up may allocate blocks
         * again. If ftruncate fails, closing the file frees them. */
        do {
            bool failed = ftruncate(space->fd, 0) < 0;

            if (space->new_fd >= 0)
                failed |= ftruncate(space->new_fd, 0) < 0;
            if (failed)
                return NULL;
        } while (poll(&stop, 1, SPACE_INTERVAL_MS) <= 0);
        return NULL;
    }
    return NULL;
}

int space_open(struct space *space, int fd, int new_fd, uint64_t min_free_bytes,
               struct fault *fault)
{
    int r;

    space->fd = fd;
    space->new_fd = new_fd;
    space->min_free_bytes = min_free_bytes;
    if (min_free_bytes == 0)
        return 0;
    space->stop_fd = eventfd(0, EFD_CLOEXEC);
    space->tripped_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = space->stop_fd < 0 || space->tripped_fd < 0
            ? errno
            : pthread_create(&space->thread, NULL, watch_space, space);
    if (r == 0)
        return 0;
    if (space->stop_fd >= 0)
        (void)close(space->stop_fd);
    space->stop_fd = -1;
    return fault_set(fault, FAULT_SYSTEM, "threads", r, "free space: cannot be watched: %s",
                     strerror(r));
}

void space_close(struct space *space)
{
    if (space->stop_fd >= 0) {
        (void)eventfd_write(space->stop_fd, 1);
        (void)pthread_join(space->thread, NULL);
        (void)close(space->stop_fd);
    }
    if (space->tripped_fd >= 0)
        (void)close(space->tripped_fd);
    space->stop_fd = space->tripped_fd = -1;
}

int space_fault(const struct space *space, const char *path, struct fault *fault)
{
    if (space->errnum != 0)
        return fault_set(fault, FAULT_IO, "space", space->errnum,
                         "%s: free space can no longer be read: %s; the scratch file was deleted",
                         path, strerror(space->errnum));
    return fault_set(fault, FAULT_LATER, "space", 0,
                     "%s: only %" PRIu64 " bytes free, less than min_free of %" PRIu64
                     " bytes; the scratch file was deleted; free some space, or lower "
                     "min_free",
                     path, space->found_bytes, space->min_free_bytes);
}
