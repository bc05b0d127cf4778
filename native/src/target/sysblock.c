#include "target/sysblock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int join(char path[static PATH_MAX], const char *directory, const char *name)
{
    int n = snprintf(path, PATH_MAX, "%s/%s", directory, name);

    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int device_directory(const char *sys_root, unsigned long major_number,
                            unsigned long minor_number, char path[static PATH_MAX])
{
    int n = snprintf(path, PATH_MAX, "%s/dev/block/%lu:%lu", sys_root, major_number, minor_number);

    if (n >= PATH_MAX)
        return -ENAMETOOLONG;
    return access(path, F_OK) == 0 ? 0 : -errno;
}

int sysblock_is_partition(const char *sys_root, dev_t device)
{
    char directory[PATH_MAX], path[PATH_MAX];
    int r = device_directory(sys_root, major(device), minor(device), directory);

    if (r == 0)
        r = join(path, directory, "partition");
    if (r < 0)
        return r;
    if (access(path, F_OK) == 0)
        return 1;
    return errno == ENOENT ? 0 : -errno;
}

int sysblock_device_number(const char *directory, const char *name, dev_t *ret)
{
    unsigned int major_number, minor_number;
    char folder[PATH_MAX], path[PATH_MAX];
    FILE *file;
    int fields, r = join(folder, directory, name);

    if (r == 0)
        r = join(path, folder, "dev");
    if (r < 0)
        return r;
    file = fopen(path, "re");
    if (!file)
        return -errno;
    fields = fscanf(file, "%u:%u", &major_number, &minor_number);
    (void)fclose(file);
    if (fields != 2)
        return -ENODATA;
    *ret = makedev(major_number, minor_number);
    return 0;
}

int sysblock_whole(const char *sys_root, dev_t device, dev_t *ret)
{
    char disk[PATH_MAX];
    int r = sysblock_disk(sys_root, device, disk);

    return r < 0 ? r : sysblock_device_number(disk, ".", ret);
}

int sysblock_disk(const char *sys_root, dev_t device, char ret_path[static PATH_MAX])
{
    int r = device_directory(sys_root, major(device), minor(device), ret_path);
    dev_t disk;

    if (r < 0)
        return r;
    r = sysblock_is_partition(sys_root, device);
    if (r <= 0)
        return r;
    /* The entry is a symlink into the disk's directory, so ".." is the disk. */
    r = sysblock_device_number(ret_path, "..", &disk);
    if (r < 0)
        return r;
    return device_directory(sys_root, major(disk), minor(disk), ret_path);
}

int sysblock_number(const char *directory, const char *name, uint64_t *ret)
{
    char path[PATH_MAX];
    FILE *file;
    int fields, r = join(path, directory, name);

    if (r < 0)
        return r;
    file = fopen(path, "re");
    if (!file)
        return -errno;
    fields = fscanf(file, "%" SCNu64, ret);
    (void)fclose(file);
    return fields == 1 ? 0 : -ENODATA;
}
