/* Tells when somebody else opens a device that is written. */
#ifndef AIO_SWEEP_OPENED_H
#define AIO_SWEEP_OPENED_H

#include "protocol/fault.h"
#include "target/nodes.h"

struct opened {
    int fd;     /* readable when a node has been opened, or closed after writing; -1: closed */
    bool wrote; /* one that was open for writing has been closed */
};

#define OPENED_CLOSED {.fd = -1}

/* Watches target_fd's own node and all others of the device below dev_root, /dev. Call it after the
 * open and before openers_find(), which sees those who came before. Returns 0, or -1 with a fault
 * of code 69: what cannot be watched is not written. */
int opened_watch(struct opened *opened, const struct nodes *nodes, const char *dev_root,
                 int target_fd, const char *path, struct fault *fault);
void opened_close(struct opened *opened);

/* Takes the events that have come. Returns whether there were any. Never blocks. */
bool opened_take(struct opened *opened);

#endif
