/* One run of the program, from the command line to `end`. */
#ifndef AIO_SWEEP_SWEEP_H
#define AIO_SWEEP_SWEEP_H

#include "protocol/emit.h"
#include "protocol/fault.h"
#include "protocol/options.h"

/* Runs until end of input, a signal or an error. Returns the exit code. start_ns is the time of the
 * process start. */
int sweep_run(const struct options *options, uint64_t start_ns);

/* The members of an `error` line besides the fault; those that are NULL are left out. */
struct sweep_details {
    const uint64_t *id; /* of the request */
    const char *span;   /* of a written device: "clean" or "left" */
    const char *line;   /* the invalid request line */
    size_t line_length;
};

/* Writes an `error` line to stdout and its message to stderr. */
void sweep_report(struct emit *emit, const struct fault *fault,
                  const struct sweep_details *details);

#endif
