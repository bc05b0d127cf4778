/* Finds other processes and kernel users that have a device open for writing. O_EXCL does not
 * exclude those that open without it, such as QEMU, nvmet and dd. */
#ifndef AIO_SWEEP_OPENERS_H
#define AIO_SWEEP_OPENERS_H

#include "target/nodes.h"

struct openers_roots {
    const char *proc, *sys;
};

enum openers { OPENERS_NONE, OPENERS_FOUND, OPENERS_UNSEEN };

/*
 * Searches the descriptors of all other processes, the configfs of nvmet, and the loop devices.
 * Stores in `reason` the user that was found, or the item that cannot be read (OPENERS_UNSEEN,
 * which may hide a user) with the action. Opens no node of the device, and waits for no network
 * filesystem.
 */
enum openers openers_find(const struct openers_roots *roots, const struct nodes *nodes,
                          char reason[static 512]);

#endif
