/* One run from `hello` to `end`: what its parts share, and the one way in which they move bytes. */
#ifndef AIO_SWEEP_SWEEP_H
#define AIO_SWEEP_SWEEP_H

#include "io/buffer.h"
#include "io/team.h"
#include "protocol/emit.h"
#include "target/counters.h"
#include "target/pagecache.h"
#include "target/target.h"
#include "watch.h"

/* What a step came to; anything but SWEEP_ON ends the run. */
enum sweep_step {
    SWEEP_FAILED = -1, /* the fault says why */
    SWEEP_ON = 0,
    SWEEP_STOPPED = 1, /* by a signal, or because nobody reads our output any more */
};

struct sweep {
    const struct options *options;
    struct emit emit;
    struct watch watch;
    struct target target;
    struct buffer buffer;
    struct team *team;
    struct pagecache cache;
    struct counters counters;
    uint64_t *transfers_ns; /* room for the most transfers a point can have */
    uint64_t start_ns;
    uint64_t fill_bytes, fill_ns;
    bool device_dirty; /* the span of a written device holds our noise */
    uint64_t
        claimed_write_bytes; /* of a device to be written: its write counter when it was claimed */
    uint64_t cursor;         /* where in the span the next transfer starts */
    uint64_t points, bytes_read, bytes_written;
};

/* Where a long piece of work stands, for its ticks. */
struct sweep_phase {
    const char *name;
    const uint64_t *id;   /* of the request, or NULL */
    uint64_t done, total; /* total 0: open-ended */
    bool heed;            /* signals end it; zeroing goes on */
};

/* The program: returns the exit code. */
int sweep_run(const struct options *options, uint64_t start_ns);

/* Writes an `error` line to stdout and its message to stderr. `line` (NULL: none) is quoted, `id`
 * may be NULL. */
void sweep_report(struct emit *emit, const struct fault *fault, const uint64_t *id,
                  const char *line, size_t line_length);

/*
 * Moves one transfer, after team_prepare(), with ticks from this thread while it waits. Counts it
 * in bytes_read and bytes_written. A transfer cut short by a signal is SWEEP_STOPPED.
 */
enum sweep_step sweep_move(struct sweep *sweep, const struct transfer *transfer,
                           const struct sweep_phase *phase, uint64_t *ret_elapsed_ns,
                           struct fault *fault);

/* Runs work(argument), which may take long in the kernel, on a thread of its own while this one
 * ticks. Not interrupted. */
void sweep_aside(struct sweep *sweep, void (*work)(void *argument), void *argument,
                 const struct sweep_phase *phase);

void sweep_tick(struct sweep *sweep, const struct sweep_phase *phase, uint64_t done_bytes);

#endif
