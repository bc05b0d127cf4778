/* Prepares the target before `hello`, and zeroes a written device again at the end. */
#ifndef AIO_SWEEP_PREPARE_H
#define AIO_SWEEP_PREPARE_H

#include "context.h"
#include "io/team.h"

/* For a written device: reads the first and last MiB and the span. A byte that is not zero is a
 * fault of code 69, and so are counters that do not show these reads. */
enum step_result prepare_check_blank(struct context *context, struct fault *fault);

/* Returns a transfer of large blocks from or to the buffer, without its offset and bytes. */
struct transfer prepare_transfer(const struct context *context, bool write);

/* Fills the whole span with data that neither compresses nor repeats, and syncs it. */
enum step_result prepare_fill(struct context *context, struct fault *fault);

/* Zeroes the span of a device that has been filled; does nothing otherwise. Signals do not stop it.
 */
enum step_result prepare_zero(struct context *context, struct fault *fault);

/* Returns the offset of the first byte that is not zero, or `bytes` if there is none. */
uint64_t prepare_first_nonzero(const char *data, uint64_t bytes);

#endif
