/* Zeroes the data that an earlier run left on a device, which its key identifies. */
#ifndef AIO_SWEEP_ERASE_H
#define AIO_SWEEP_ERASE_H

#include "context.h"

/*
 * Reads the first and last MiB of the device and the span, then zeroes the sectors of the span that
 * bear the key, each read again just before. Any other sector that is not blank was written by
 * another process: FAULT_BUSY, and nothing is zeroed.
 */
enum step_result erase_span(struct context *context, struct fault *fault);

#endif
