/* Zeroes what an earlier run has left on a device, by its key. */
#ifndef AIO_SWEEP_ERASE_H
#define AIO_SWEEP_ERASE_H

#include "context.h"

/*
 * Reads the first and last MiB of the device and the span. A sector that neither is zero nor lies in
 * the span and bears the key of --erase is a fault of code 69: somebody else has written there, and
 * nothing is touched. Else zeroes the sectors that bear the key, each read again just before.
 */
enum step_result erase_span(struct context *context, struct fault *fault);

#endif
