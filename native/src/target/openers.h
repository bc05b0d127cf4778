/* Finds who else has a device open for writing, in other processes and in the kernel. O_EXCL keeps
 * away only those who ask for it: QEMU, nvmet and dd do not. */
#ifndef AIO_SWEEP_OPENERS_H
#define AIO_SWEEP_OPENERS_H

#include "target/nodes.h"

struct openers_roots {
    const char *proc, *sys;
};

enum openers { OPENERS_NONE, OPENERS_FOUND, OPENERS_UNSEEN };

/*
 * Looks through the descriptors of all processes but this one, nvmet's configfs and the loop
 * devices. `reason` gets who it is, or what cannot be read and what lets us read it. What cannot be
 * read may be an opener. It opens nothing of the device, and asks no network filesystem.
 */
enum openers openers_find(const struct openers_roots *roots, const struct nodes *nodes,
                          char reason[static 512]);

#endif
