/* Scratch files: without a name from the start, so that nothing is left of them. */
#ifndef AIO_SWEEP_SCRATCH_H
#define AIO_SWEEP_SCRATCH_H

#include "target/target.h"

/* Opens the scratch file of target_open() and allocates its blocks; for a caller of protocol 2 that
 * may write also a second one, which is empty. Returns 0, or -1 with the fault. */
int scratch_open(struct target *target, const struct options *options, const char *sys_root,
                 struct fault *fault);

#endif
