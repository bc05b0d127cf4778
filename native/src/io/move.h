/* Long operations of the main thread: it waits for them and writes a `tick` line every second. */
#ifndef AIO_SWEEP_MOVE_H
#define AIO_SWEEP_MOVE_H

#include "context.h"
#include "io/team.h"

/* How far a long operation is, for its ticks. */
struct phase {
    const char *name;
    const uint64_t *id;   /* of the request, or NULL */
    uint64_t done, total; /* bytes; total 0: open-ended */
    bool stop_on_signal;  /* false: zeroing continues after a signal */
};

/*
 * Moves one transfer; team_prepare() comes first. Adds the bytes that were moved to bytes_read or
 * bytes_written. A transfer cut short by a signal is STEP_STOPPED.
 */
enum step_result move_transfer(struct context *context, const struct transfer *transfer,
                               const struct phase *phase, uint64_t *ret_elapsed_ns,
                               struct fault *fault);

/* Runs work(argument), which may block in the kernel for long, on a thread of its own while this
 * one writes ticks. Signals do not interrupt it. */
void move_run_with_ticks(struct context *context, void (*work)(void *argument), void *argument,
                         const struct phase *phase);

#endif
