#include "target/identity.h"

#include "target/sysblock.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ _IOR(0x12, 128, uint64_t) /* Linux 5.15 */
#endif

static bool next_number(const char **text, unsigned int *ret)
{
    unsigned long value;
    char *end;

    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    value = strtoul(*text, &end, 10);
    if (errno || value > UINT32_MAX)
        return false;
    *ret = (unsigned int)value;
    *text = end;
    return true;
}

bool identity_next(const char **list, dev_t *ret)
{
    unsigned int major_number, minor_number;

    if (!next_number(list, &major_number) || *(*list)++ != ':' || !next_number(list, &minor_number))
        return false;
    if (**list == ',' && (*list)[1] != '\0')
        (*list)++;
    else if (**list != '\0')
        return false;
    *ret = makedev(major_number, minor_number);
    return true;
}

#define changed(fault, ...) fault_set(fault, FAULT_TARGET, "identity", 0, __VA_ARGS__)

static int check_device(const struct target *target, const struct options *options,
                        struct fault *fault)
{
    const char *list = options->expect_device;
    dev_t one;

    while (list && *list && identity_next(&list, &one))
        if (one == target->device)
            return 0;
    if (!list)
        return 0;
    return changed(fault,
                   "%s: on device %u:%u, expected %s; nothing was written; check what is mounted "
                   "or attached there",
                   target->path, major(target->device), minor(target->device),
                   options->expect_device);
}

/* btrfs and overlay have anonymous numbers, which are not in sysfs. The number of the device below
 * is the one in the caller's list with a major number. */
static dev_t device_below(const struct target *target, const struct options *options)
{
    const char *list = options->expect_device;
    dev_t one;

    if (major(target->device) != 0)
        return target->device;
    while (list && *list && identity_next(&list, &one))
        if (major(one) != 0)
            return one;
    return target->device;
}

static int read_diskseq(const struct target *target, const struct options *options,
                        const char *sys_root, uint64_t *ret)
{
    char disk[PATH_MAX];
    int r;

    if (target->kind == TARGET_DEVICE)
        return ioctl(target->fd, BLKGETDISKSEQ, ret) < 0 ? -errno : 0;
    r = sysblock_disk(sys_root, device_below(target, options), disk);
    return r < 0 ? r : sysblock_number(disk, "diskseq", ret);
}

int identity_check(const struct target *target, const struct options *options, const char *sys_root,
                   struct fault *fault)
{
    uint64_t diskseq;
    int r;

    if (check_device(target, options, fault) < 0)
        return -1;
    if (!options->has_diskseq)
        return 0;
    r = read_diskseq(target, options, sys_root, &diskseq);
    if (r < 0)
        return fault_set(fault, FAULT_TARGET, "identity", -r,
                         "%s: disk sequence number cannot be read (%s); omit --expect-diskseq on "
                         "Linux before 5.15",
                         target->path, strerror(-r));
    if (diskseq != options->expect_diskseq)
        return changed(fault,
                       "%s: disk sequence number is %" PRIu64 ", expected %" PRIu64
                       ": the drive was replaced; nothing was written; try again",
                       target->path, diskseq, options->expect_diskseq);
    return 0;
}
