/* One request, from its line to its answer. */
#ifndef AIO_SWEEP_POINT_H
#define AIO_SWEEP_POINT_H

#include "protocol/request.h"
#include "sweep.h"

/* received_ns: when the line was read. */
enum sweep_step point_run(struct sweep *sweep, const struct request *request, uint64_t received_ns,
                          struct fault *fault);

#endif
