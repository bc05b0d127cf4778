/* Attributes in sysfs, those of a block device by its number. Tests pass another sys_root. */
#ifndef AIO_SWEEP_SYSBLOCK_H
#define AIO_SWEEP_SYSBLOCK_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Finds the directory ROOT/dev/block/MAJ:MIN of the whole disk that `device` is, or is a partition
 * of. Returns 0 or -errno: -ENOENT for the anonymous device numbers of btrfs, overlayfs and tmpfs.
 */
int sysblock_disk(const char *sys_root, dev_t device, char ret_path[static PATH_MAX]);

/* Returns 1 for a partition, 0 for any other block device, -errno if it is not in sysfs. */
int sysblock_is_partition(const char *sys_root, dev_t device);

/* Reads MAJ:MIN from DIRECTORY/NAME/dev; `name` may be ".". Returns 0 or -errno. */
int sysblock_device_number(const char *directory, const char *name, dev_t *ret);

/* Finds the number of the disk that `device` is, or is a partition of. Returns 0 or -errno. */
int sysblock_whole(const char *sys_root, dev_t device, dev_t *ret);

/* Reads the number in DIRECTORY/NAME. Returns 0 or -errno. */
int sysblock_number(const char *directory, const char *name, uint64_t *ret);

#endif
