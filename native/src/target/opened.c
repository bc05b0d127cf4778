#include "target/opened.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* IN_MODIFY is not sent for asynchronous writes, and may be for those of this process. */
#define EVENTS (IN_OPEN | IN_CLOSE_WRITE)

static int add(const char *path, void *argument)
{
    const struct opened *opened = argument;

    if (inotify_add_watch(opened->fd, path, EVENTS) >= 0 || errno == ENOENT)
        return 0;
    return -errno;
}

int opened_watch(struct opened *opened, const struct nodes *nodes, const char *dev_root,
                 int target_fd, const char *path, struct fault *fault)
{
    char own[64];
    int r;

    *opened = (struct opened){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
    (void)snprintf(own, sizeof(own), "/proc/self/fd/%d", target_fd);
    if (opened->fd < 0 || inotify_add_watch(opened->fd, own, EVENTS) < 0)
        r = -errno;
    else
        r = nodes_walk(nodes, dev_root, add, opened);
    if (r == 0)
        return 0;
    opened_close(opened);
    return fault_set(fault, FAULT_BUSY, "openers", -r,
                     "%s: not written: its device nodes cannot be watched (%s); install the "
                     "drop-in of docs/how-to/operate.md, or raise fs.inotify.max_user_watches",
                     path, strerror(-r));
}

void opened_close(struct opened *opened)
{
    if (opened->fd >= 0)
        (void)close(opened->fd);
    opened->fd = -1;
}

bool opened_take(struct opened *opened)
{
    _Alignas(struct inotify_event) char events[4096];
    bool any = false;
    ssize_t n;

    while (opened->fd >= 0 && (n = read(opened->fd, events, sizeof(events))) > 0) {
        any = true;
        for (ssize_t at = 0; at < n;) {
            struct inotify_event event;

            memcpy(&event, events + at, sizeof(event));
            opened->wrote |= (event.mask & (IN_CLOSE_WRITE | IN_Q_OVERFLOW)) != 0;
            at += (ssize_t)(sizeof(event) + event.len);
        }
    }
    return any;
}
