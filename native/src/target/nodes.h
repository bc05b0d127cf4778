/* The device nodes of a disk: its own, those of its partitions, and the character devices that pass
 * commands through to it. */
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

/* Finds the character devices of the disk in sysfs; partitions need no search. */
void nodes_find(struct nodes *nodes, const char *sys_root, dev_t disk);

/* Returns true if a node of this type and number belongs to the disk, whatever its path. */
bool nodes_have(const struct nodes *nodes, mode_t mode, dev_t number);

/* Calls visit(path, argument) for every node below `directory`, on its filesystem only, until visit
 * returns nonzero. Returns that value, 0, or -errno of a directory that cannot be read. */
int nodes_walk(const struct nodes *nodes, const char *directory,
               int (*visit)(const char *path, void *argument), void *argument);

#endif
