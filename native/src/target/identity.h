/* Compares the open target with --expect-device and --expect-diskseq. */
#ifndef AIO_SWEEP_IDENTITY_H
#define AIO_SWEEP_IDENTITY_H

#include "target/target.h"

/*
 * Checks the open descriptor, because a path may lead to another device at any time, while an open
 * file keeps its filesystem mounted and so its device. Returns 0, or -1 with FAULT_TARGET.
 */
int identity_check(const struct target *target, const struct options *options, const char *sys_root,
                   struct fault *fault);

/* Parses the "MAJ:MIN" at *list and moves *list past it and its comma, to the terminating 0 after
 * the last one. Returns false if it is invalid. */
bool identity_next(const char **list, dev_t *ret);

#endif
