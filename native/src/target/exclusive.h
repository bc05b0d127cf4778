/* Detects other users of a device that is written. O_EXCL and flock(2) exclude only processes that
 * use them too. */
#ifndef AIO_SWEEP_EXCLUSIVE_H
#define AIO_SWEEP_EXCLUSIVE_H

#include "context.h"

/* Watches the device's nodes, then searches for processes and kernel users that have it open for
 * writing. FAULT_BUSY with op "openers" if one is found or may be hidden. Writes nothing. */
enum step_result exclusive_begin(struct context *context, struct fault *fault);

/* Compares the read counter with the bytes read since exclusive_begin(). FAULT_BUSY with op
 * "counters" if it does not count: writes of other processes would go undetected. */
enum step_result exclusive_probe_counters(struct context *context, struct fault *fault);

/* Returns true if another process has opened the written device. */
bool exclusive_intruded(struct context *context);

/*
 * FAULT_BUSY if another process has opened the written device, or if its write counter moved by
 * more or less than this run has written; on a difference the span is left as it is. Does nothing
 * for other targets.
 */
enum step_result exclusive_check(struct context *context, struct fault *fault);

/* Decides whether the span may be zeroed: as exclusive_check(), but without the counters, and a
 * process that opened the device read-only and closed it is ignored. */
enum step_result exclusive_check_zeroing(struct context *context, struct fault *fault);

#endif
