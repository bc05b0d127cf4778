/* The program: one run from `hello` to `end`. */
#ifndef AIO_SWEEP_SWEEP_H
#define AIO_SWEEP_SWEEP_H

#include "protocol/emit.h"
#include "protocol/fault.h"
#include "protocol/options.h"

/* Runs the program and returns its exit code. */
int sweep_run(const struct options *options, uint64_t start_ns);

/* Writes an `error` line to stdout and its message to stderr. `line` (NULL: none) is quoted, `id`
 * may be NULL. */
void sweep_report(struct emit *emit, const struct fault *fault, const uint64_t *id,
                  const char *line, size_t line_length);

#endif
