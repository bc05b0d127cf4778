/* Long operations, during which the main thread writes a `tick` line every second. */
#ifndef AIO_SWEEP_MOVE_H
#define AIO_SWEEP_MOVE_H

#include "context.h"
#include "io/team.h"

/* The progress of a long operation. */
struct phase {
    const char *name;
    const uint64_t *id;   /* of the request, or NULL */
    uint64_t done, total; /* bytes; total 0: open-ended */
    bool stop_on_signal;  /* false: zeroing continues after a signal */
};

/* The times of a transfer. */
struct moved {
    uint64_t elapsed_ns; /* from the release of the threads to the last completion */
    uint64_t return_ns;  /* from then until the main thread knows of it */
    uint64_t groups_ns[TEAM_MAX_GROUPS]; /* elapsed, of each group */
};

/*
 * Runs one transfer; call team_prepare() first. Adds its bytes to context->bytes_read and
 * bytes_written. Returns STEP_STOPPED if a signal cut it short or came before.
 */
enum step_result move_transfer(struct context *context, const struct transfer *transfer,
                               const struct phase *phase, struct moved *ret, struct fault *fault);

/* Runs work(argument), which may block in the kernel, in a new thread while this one writes ticks.
 * Signals do not interrupt it. */
void move_run_with_ticks(struct context *context, void (*work)(void *argument), void *argument,
                         const struct phase *phase);

#endif
