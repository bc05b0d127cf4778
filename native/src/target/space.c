#include "target/space.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* A filesystem that does not answer has not run out of space. */
static uint64_t free_bytes(int fd)
{
    struct statvfs status;

    if (fstatvfs(fd, &status) < 0)
        return UINT64_MAX;
    return (uint64_t)status.f_bavail * status.f_frsize;
}

int space_check(int fd, const char *path, uint64_t min_free_bytes, uint64_t span_bytes,
                struct fault *fault)
{
    uint64_t found = free_bytes(fd);

    if (min_free_bytes == 0 || (found >= min_free_bytes && found - min_free_bytes >= span_bytes))
        return 0;
    return fault_set(fault, FAULT_LATER, "space", 0,
                     "%s: %" PRIu64 " bytes are free, too few for a scratch file of %" PRIu64
                     " that leaves %" PRIu64 " to others; free some space, or lower min_free",
                     path, found, span_bytes, min_free_bytes);
}

static void *watch_space(void *argument)
{
    struct space *space = argument;
    struct pollfd stop = {.fd = space->stop_fd, .events = POLLIN};

    while (poll(&stop, 1, SPACE_INTERVAL_MS) <= 0) {
        uint64_t found = free_bytes(space->fd);

        if (found >= space->min_free_bytes)
            continue;
        space->found_bytes = found;
        atomic_store(&space->tripped, true);
        (void)eventfd_write(space->tripped_fd, 1);
        /* Again and again: a request that was submitted before the main thread woke may have
         * allocated again. If it fails, closing the file gives it up. */
        do {
            if (ftruncate(space->fd, 0) < 0)
                return NULL;
        } while (poll(&stop, 1, SPACE_INTERVAL_MS) <= 0);
        return NULL;
    }
    return NULL;
}

int space_open(struct space *space, int fd, uint64_t min_free_bytes, struct fault *fault)
{
    int r;

    space->fd = fd;
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
    return fault_set(fault, FAULT_SYSTEM, "threads", r, "cannot watch the free space: %s",
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
    return fault_set(fault, FAULT_LATER, "space", 0,
                     "%s: only %" PRIu64 " bytes were free, less than the %" PRIu64
                     " that others may need: the scratch file was given up; free some space, or "
                     "lower min_free",
                     path, space->found_bytes, space->min_free_bytes);
}
