/* Waits of the main thread: for a descriptor, a signal, or the next tick. Signals come from a
 * signalfd, so they interrupt no system call. */
#ifndef AIO_SWEEP_WATCH_H
#define AIO_SWEEP_WATCH_H

#include "protocol/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct watch {
    int signal_fd;
    int guard_fd; /* readable when the run must end for other processes; -1: none */
    bool stopped; /* by SIGTERM, SIGINT, SIGHUP or the guard */
    uint64_t next_tick_ns;
};

/* Blocks SIGTERM, SIGINT and SIGHUP in this and all later threads. Ignores SIGPIPE and SIGXFSZ, so
 * that write(2) returns EPIPE and EFBIG. */
int watch_open(struct watch *watch, struct fault *fault);
void watch_close(struct watch *watch);

/* Returns true if the run was stopped, also by a signal that no wait has read yet. */
bool watch_stopped(struct watch *watch);

enum watch_event { WATCH_READY, WATCH_STOPPED, WATCH_TICK };

/*
 * Waits until fd is readable, which takes precedence, the run is stopped by a signal or the guard,
 * or, with `ticking`, a tick is due; the next one is due in a second. Without `stop_on_signal` a
 * signal sets watch->stopped and the wait continues.
 */
enum watch_event watch_wait(struct watch *watch, int fd, bool ticking, bool stop_on_signal);

#endif
