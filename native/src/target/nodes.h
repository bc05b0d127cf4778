/* The nodes by which programs reach a device: its own, those of its partitions, and the character
 * devices that pass commands through to it. */
#ifndef AIO_SWEEP_NODES_H
#define AIO_SWEEP_NODES_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#define NODES_MAX_CHARACTER 8

struct nodes {
    const char *sys_root;
    dev_t disk;
    dev_t character[NODES_MAX_CHARACTER]; /* /dev/ng0n1, /dev/sg0, /dev/bsg/0:0:0:0 */
    unsigned characters;
};

void nodes_find(struct nodes *nodes, const char *sys_root, dev_t disk);

/* True for a node of the device, by its type and number, wherever it lies. */
bool nodes_have(const struct nodes *nodes, mode_t mode, dev_t number);

/* Calls visit(path, argument) for every node below `directory`, without other filesystems mounted
 * there, until it returns other than 0. Returns that, 0, or -errno of a folder that cannot be
 * read. */
int nodes_walk(const struct nodes *nodes, const char *directory,
               int (*visit)(const char *path, void *argument), void *argument);

#endif
