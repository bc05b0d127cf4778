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

int sysblock_disk(const char *sys_root, dev_t device, char ret_path[static PATH_MAX])
{
    int r = device_directory(sys_root, major(device), minor(device), ret_path);
    unsigned long major_number, minor_number;
    char path[PATH_MAX];
    FILE *file;
    int fields;

    if (r < 0)
        return r;
    r = sysblock_is_partition(sys_root, device);
    if (r <= 0)
        return r;
    /* The entry is a symlink into the disk's directory, so the kernel resolves ".." to the disk. */
    r = join(path, ret_path, "../dev");
    if (r < 0)
        return r;
    file = fopen(path, "re");
    if (!file)
        return -errno;
    fields = fscanf(file, "%lu:%lu", &major_number, &minor_number);
    (void)fclose(file);
    if (fields != 2)
        return -ENODATA;
    return device_directory(sys_root, major_number, minor_number, ret_path);
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
