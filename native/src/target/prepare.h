/* Checks and fills the target before `hello`, and zeroes a written device at the end. */
#ifndef AIO_SWEEP_PREPARE_H
#define AIO_SWEEP_PREPARE_H

#include "context.h"
#include "io/team.h"

/* Reads the first and last MiB and the span of a device to be written. FAULT_BUSY for a byte that
 * is not zero, or if the counters do not show these reads. */
enum step_result prepare_check_blank(struct context *context, struct fault *fault);

/* Returns a transfer of 1 MiB blocks at queue depth 16; the caller sets its offset and bytes. */
struct transfer prepare_transfer(const struct context *context, enum direction direction);

/* Fills the span with data that neither compresses nor repeats, and syncs it. */
enum step_result prepare_fill(struct context *context, struct fault *fault);

/* Zeroes the span of a device that was filled; does nothing otherwise. Signals do not stop it. */
enum step_result prepare_zero(struct context *context, struct fault *fault);

/* Returns the offset of the first byte that is not zero, or `bytes` if all are. */
uint64_t prepare_first_nonzero(const char *data, uint64_t bytes);

#endif
