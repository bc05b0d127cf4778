/* Holds a device that is written to the promise that nobody else writes it. O_EXCL and the lock keep
 * out only those who ask for them. */
#ifndef AIO_SWEEP_EXCLUSIVE_H
#define AIO_SWEEP_EXCLUSIVE_H

#include "context.h"

/* Begins to watch the device's nodes, then looks for those who have it open. A fault of code 69 and
 * op "openers" if there is one, or if that cannot be seen. Nothing has been written then. */
enum step_result exclusive_begin(struct context *context, struct fault *fault);

/* Compares the read counter with what has been read since exclusive_begin(): a fault of code 69 and
 * op "counters" if it does not count. Others' writes would not be seen then. */
enum step_result exclusive_probe_counters(struct context *context, struct fault *fault);

/* Whether somebody has opened a device that is written. */
bool exclusive_intruded(struct context *context);

/*
 * Does nothing for a target that is no written device. Otherwise a fault of code 69 if somebody has
 * opened it, or if its write counter has moved by more or by less than we have written. In the last
 * two cases the span is left as it is.
 */
enum step_result exclusive_check(struct context *context, struct fault *fault);

/* As exclusive_check(), but without the counters, and one who has only looked and left is let pass:
 * whether the span may be zeroed. */
enum step_result exclusive_check_zeroing(struct context *context, struct fault *fault);

#endif
