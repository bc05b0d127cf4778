/* Compares the open target with the device that the caller means: PROTOCOL.md section 1. */
#ifndef AIO_SWEEP_IDENTITY_H
#define AIO_SWEEP_IDENTITY_H

#include "target/target.h"

/*
 * Checks --expect-device and --expect-diskseq on the descriptor. A path can lead to another device
 * from one moment to the next, an open descriptor cannot: an open file keeps its filesystem
 * mounted, and that keeps the device. Returns 0, or -1 with a fault of code 66.
 */
int identity_check(const struct target *target, const struct options *options, const char *sys_root,
                   struct fault *fault);

/* Parses one "MAJ:MIN" of a list at *list and moves *list past it and its comma. Returns false if
 * there is none; at the end of a list *list points to its terminating 0. */
bool identity_next(const char **list, dev_t *ret);

#endif
