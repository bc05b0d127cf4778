/* The program: one run from `hello` to `end`. */
#ifndef AIO_SWEEP_SWEEP_H
#define AIO_SWEEP_SWEEP_H

#include "protocol/emit.h"
#include "protocol/fault.h"
#include "protocol/options.h"

/* Runs the program and returns its exit code. */
int sweep_run(const struct options *options, uint64_t start_ns);

/* What an `error` line says besides the fault; NULL: nothing. */
struct sweep_details {
    const uint64_t *id; /* of the request */
    const char *span;   /* "clean" or "left": what became of a written device's span */
    const char *line;   /* the request that is at fault, which is quoted */
    size_t line_length;
};

/* Writes an `error` line to stdout and its message to stderr. */
void sweep_report(struct emit *emit, const struct fault *fault,
                  const struct sweep_details *details);

#endif
