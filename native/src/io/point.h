/* Runs one request and writes its `point` line. */
#ifndef AIO_SWEEP_POINT_H
#define AIO_SWEEP_POINT_H

#include "context.h"
#include "protocol/request.h"

/* received_ns is the time at which the request line was read. */
enum step_result point_run(struct context *context, const struct request *request,
                           uint64_t received_ns, struct fault *fault);

#endif
