/* What the main thread waits for: a descriptor, a signal to stop, the next tick. Signals never
 * interrupt anything. */
#ifndef AIO_SWEEP_WATCH_H
#define AIO_SWEEP_WATCH_H

#include "protocol/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct watch {
    int signal_fd;
    bool stopped; /* SIGTERM, SIGINT or SIGHUP has been seen */
    uint64_t next_tick_ns;
};

/* Blocks the three signals in this and all later threads; ignores SIGPIPE and SIGXFSZ (EPIPE and
 * EFBIG say it better). */
int watch_open(struct watch *watch, struct fault *fault);
void watch_close(struct watch *watch);

enum watch_event { WATCH_READY, WATCH_STOPPED, WATCH_TICK };

/*
 * Waits until fd is readable (it comes first if several are true), a signal has come, or, with
 * `ticking`, a tick is due; the next one is then a second away. With !stop_on_signal signals are
 * noted in watch->stopped and the wait goes on.
 */
enum watch_event watch_wait(struct watch *watch, int fd, bool ticking, bool stop_on_signal);

#endif
