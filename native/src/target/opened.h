/* Detects by inotify that another process opens a device that is written. */
#ifndef AIO_SWEEP_OPENED_H
#define AIO_SWEEP_OPENED_H

#include "protocol/fault.h"
#include "target/nodes.h"

struct opened {
    int fd;     /* readable after a node was opened, or closed after writing; -1: closed */
    bool wrote; /* a node that was open for writing has been closed, or events were lost */
};

#define OPENED_CLOSED {.fd = -1}

/* Watches the node of target_fd and all others of the device below dev_root, which is /dev. Call it
 * before openers_find(), which finds those that were open earlier. Returns 0, or -1 with
 * FAULT_BUSY. */
int opened_watch(struct opened *opened, const struct nodes *nodes, const char *dev_root,
                 int target_fd, const char *path, struct fault *fault);
void opened_close(struct opened *opened);

/* Reads all pending events without blocking. Returns true if there were any. */
bool opened_take(struct opened *opened);

#endif
