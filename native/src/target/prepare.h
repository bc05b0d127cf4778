/* Prepares the target before `hello`, and zeroes a written device again at the end. */
#ifndef AIO_SWEEP_PREPARE_H
#define AIO_SWEEP_PREPARE_H

#include "context.h"

/* For a written device: reads the first and last MiB and the span. A byte that is not zero is a
 * fault of code 69. */
enum step_result prepare_check_blank(struct context *context, struct fault *fault);

/* For a written device: a fault of code 69 if its write counter has moved by more than we have
 * written since prepare_check_blank(). O_EXCL and the lock do not stop a program that uses
 * neither. The span is then not zeroed at the end: it may hold another program's data. */
enum step_result prepare_check_exclusive(struct context *context, struct fault *fault);

/* Fills the whole span with data that neither compresses nor repeats, and syncs it. */
enum step_result prepare_fill(struct context *context, struct fault *fault);

/* Zeroes the span of a device that has been filled; does nothing otherwise. Signals do not stop it.
 */
enum step_result prepare_zero(struct context *context, struct fault *fault);

/* Returns the offset of the first byte that is not zero, or `bytes` if there is none. */
uint64_t prepare_first_nonzero(const char *data, uint64_t bytes);

#endif
