#include "target/nodes.h"

#include "target/sysblock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAX_DEPTH 8 /* of directories below /dev; disk/by-id has 2 */

static void add_character(struct nodes *nodes, const char *directory, const char *name)
{
    dev_t number;

    if (nodes->characters < NODES_MAX_CHARACTER &&
        sysblock_device_number(directory, name, &number) == 0)
        nodes->character[nodes->characters++] = number;
}

/* Adds the character devices in a directory of the disk's parent (scsi_generic, bsg). */
static void add_folder(struct nodes *nodes, const char *disk, const char *folder)
{
    char path[PATH_MAX];
    struct dirent *entry;
    DIR *directory;

    if (snprintf(path, sizeof(path), "%s/device/%s", disk, folder) >= PATH_MAX)
        return;
    directory = opendir(path);
    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.')
            add_character(nodes, path, entry->d_name);
    if (directory)
        (void)closedir(directory);
}

void nodes_find(struct nodes *nodes, const char *sys_root, dev_t disk)
{
    char path[PATH_MAX], real[PATH_MAX], generic[PATH_MAX];
    const char *name;

    *nodes = (struct nodes){.sys_root = sys_root, .disk = disk};
    if (sysblock_disk(sys_root, disk, path) < 0)
        return;
    add_folder(nodes, path, "scsi_generic");
    add_folder(nodes, path, "bsg");
    /* The character device of nvme0n1 is ng0n1. */
    if (!realpath(path, real) || !(name = strrchr(real, '/')) || strncmp(name, "/nvme", 5) != 0)
        return;
    if (snprintf(generic, sizeof(generic), "device/ng%s", name + 5) < PATH_MAX)
        add_character(nodes, path, generic);
}

bool nodes_have(const struct nodes *nodes, mode_t mode, dev_t number)
{
    dev_t whole;

    if (S_ISBLK(mode))
        return number == nodes->disk ||
               (sysblock_whole(nodes->sys_root, number, &whole) == 0 && whole == nodes->disk);
    if (S_ISCHR(mode))
        for (unsigned i = 0; i < nodes->characters; i++)
            if (number == nodes->character[i])
                return true;
    return false;
}

static int walk(const struct nodes *nodes, const char *directory, dev_t filesystem, int depth,
                int (*visit)(const char *path, void *argument), void *argument)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    int r = 0;

    if (!stream)
        return errno == ENOENT ? 0 : -errno;
    while (r == 0 && (entry = readdir(stream))) {
        char path[PATH_MAX];
        struct stat status;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >= PATH_MAX)
            r = -ENAMETOOLONG;
        else if (fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            r = errno == ENOENT ? 0 : -errno;
        else if (S_ISDIR(status.st_mode) && status.st_dev == filesystem && depth < MAX_DEPTH)
            r = walk(nodes, path, filesystem, depth + 1, visit, argument);
        else if (nodes_have(nodes, status.st_mode, status.st_rdev))
            r = visit(path, argument);
    }
    (void)closedir(stream);
    return r;
}

int nodes_walk(const struct nodes *nodes, const char *directory,
               int (*visit)(const char *path, void *argument), void *argument)
{
    struct stat status;

    if (stat(directory, &status) < 0)
        return -errno;
    return walk(nodes, directory, status.st_dev, 0, visit, argument);
}
