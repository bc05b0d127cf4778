/* Preparing the target before `hello`, and leaving a written device as it was found: blank. */
#ifndef AIO_SWEEP_PREPARE_H
#define AIO_SWEEP_PREPARE_H

#include "context.h"

/* For a written device: reads the first and last MiB and the span; a byte that is not zero is a
 * fault of code 69. */
enum step_result prepare_check_blank(struct context *context, struct fault *fault);

/* For a written device: a fault of code 69 if its write counter has moved by more than we have
 * written since prepare_check_blank(). O_EXCL and a lock keep out only who asks for them. The span
 * is then not zeroed any more: what is there may be theirs. */
enum step_result prepare_check_exclusive(struct context *context, struct fault *fault);

/* Writes the whole span with data that neither compresses nor repeats, and makes it durable. */
enum step_result prepare_fill(struct context *context, struct fault *fault);

/* Zeroes the span of a device that has been filled; does nothing otherwise. Not stopped by signals.
 */
enum step_result prepare_zero(struct context *context, struct fault *fault);

/* The offset of the first byte that is not zero, or `bytes`. Pure. */
uint64_t prepare_first_nonzero(const char *data, uint64_t bytes);

#endif
