#include "target/target.h"

#include "io/page_sizes.h"
#include "target/identity.h"
#include "target/scratch.h"
#include "target/sysblock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/blkzoned.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define LEAST_DEFAULT_ALIGNMENT 4096

/* Linux 6.1, newer than the headers of Ubuntu 22.04. */
#ifndef STATX_DIOALIGN
#define STATX_DIOALIGN 0x2000U
#endif
#define DIO_ALIGN_AT 152 /* stx_dio_mem_align and stx_dio_offset_align */
/* Attempts, 0.1 s apart: udev holds the lock of a new disk while it probes it. */
#define LOCK_TRIES 10

bool target_is_written_device(const struct target *target, const struct options *options)
{
    return target->kind == TARGET_DEVICE && options->allow_write;
}

int target_fault(struct fault *fault, const char *op, const char *path, int errnum)
{
    static const struct {
        int errnum;
        enum fault_code code;
        const char *advice;
    } table[] = {
        {ENOENT, FAULT_TARGET, "give an existing path"},
        {EINVAL, FAULT_TARGET,
         "the filesystem has no O_DIRECT; use one that has, such as ext4 or xfs"},
        {EROFS, FAULT_TARGET, "remount it read-write, or omit --allow-write"},
        {EACCES, FAULT_TARGET, "run as root, or grant access"},
        {EPERM, FAULT_TARGET, "run as root; check lsattr and the device cgroup"},
        {EOPNOTSUPP, FAULT_TARGET, "use another filesystem"},
        {EFBIG, FAULT_TARGET, "give a smaller --span-bytes, or raise ulimit -f"},
        {ENXIO, FAULT_TARGET, "check that the device is present"},
        {ENODEV, FAULT_TARGET, "check that the device is present"},
        {EBUSY, FAULT_BUSY, "unmount it, or release its holders"},
        {ETXTBSY, FAULT_BUSY, "stop the program, or swapoff the file"},
        {ENOSPC, FAULT_IO, "free some space, or give a smaller --span-bytes"},
        {EDQUOT, FAULT_IO, "raise the quota, or give a smaller --span-bytes"},
        {EIO, FAULT_IO, "see the kernel log"},
        {ENOMEM, FAULT_SYSTEM, "free some memory"},
        {EMFILE, FAULT_SYSTEM, "raise ulimit -n"},
        {ENFILE, FAULT_SYSTEM, "raise fs.file-max"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].errnum == errnum)
            return fault_set(fault, table[i].code, op, errnum, "%s: %s; %s", path, strerror(errnum),
                             table[i].advice);
    return fault_set(fault, FAULT_TARGET, op, errnum, "%s: %s", path, strerror(errnum));
}

/* Opens a file or device and checks its identity. Checks the type before the open, because opening
 * some device nodes has side effects. */
static int open_typed(struct target *target, const struct options *options, const char *sys_root,
                      int flags, struct fault *fault)
{
    mode_t type = target->kind == TARGET_FILE ? S_IFREG : S_IFBLK;
    const char *kind = type == S_IFREG ? "regular file" : "block device";
    struct stat status;

    if (stat(target->path, &status) < 0)
        return target_fault(fault, "open", target->path, errno);
    if ((status.st_mode & S_IFMT) != type)
        return target_unsuitable(fault, "%s: not a %s; give the path of one", target->path, kind);
    target->fd = open(target->path, flags | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
    if (target->fd < 0 || fstat(target->fd, &status) < 0)
        return target_fault(fault, "open", target->path, errno);
    if ((status.st_mode & S_IFMT) != type)
        return target_unsuitable(fault, "%s: not a %s; give the path of one", target->path, kind);
    (void)fcntl(target->fd, F_SETFL, O_DIRECT);
    target->device = type == S_IFREG ? status.st_dev : status.st_rdev;
    return identity_check(target, options, sys_root, fault);
}

static int check_size(const struct target *target, uint64_t bytes, struct fault *fault)
{
    if (target->offset + target->span <= bytes)
        return 0;
    return target_unsuitable(fault,
                             "%s: %" PRIu64 " bytes, too small for %" PRIu64
                             " bytes at offset %" PRIu64 "; give a smaller --span-bytes",
                             target->path, bytes, target->span, target->offset);
}

static int open_file(struct target *target, const struct options *options, const char *sys_root,
                     struct fault *fault)
{
    int flags = options->allow_write ? O_RDWR : O_RDONLY;
    struct stat status;

    if (open_typed(target, options, sys_root, flags, fault) < 0)
        return -1;
    if (fstat(target->fd, &status) < 0)
        return target_fault(fault, "open", target->path, errno);
    return check_size(target, (uint64_t)status.st_size, fault);
}

static int lock_device(const struct target *target, struct fault *fault)
{
    const struct timespec pause = {.tv_nsec = 100000000};

    for (int i = 0; flock(target->fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK)
            return target_fault(fault, "flock", target->path, errno);
        if (i == LOCK_TRIES)
            return fault_set(fault, FAULT_BUSY, "flock", errno,
                             "%s: locked by another process; try again when it is done",
                             target->path);
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* Opens and locks a device to be written. prepare_check_blank() checks later that it is blank. */
static int claim_device(struct target *target, const struct options *options, const char *sys_root,
                        struct fault *fault)
{
    struct stat status;
    unsigned int zone_sectors = 0;
    int read_only = 0;

    if (stat(target->path, &status) < 0)
        return target_fault(fault, "open", target->path, errno);
    if (S_ISBLK(status.st_mode)) {
        int r = sysblock_is_partition(sys_root, status.st_rdev);

        if (r != 0)
            return target_unsuitable(fault, "%s: %s; only whole disks are written", target->path,
                                     r > 0 ? "is a partition" : "may be a partition (not in /sys)");
    }
    if (open_typed(target, options, sys_root, O_RDWR | O_EXCL, fault) < 0)
        return -1;
    if (target->device != status.st_rdev)
        return target_unsuitable(fault, "%s: replaced by another device during the open; try again",
                                 target->path);
    if (ioctl(target->fd, BLKROGET, &read_only) == 0 && read_only)
        return target_fault(fault, "open", target->path, EROFS);
    if (ioctl(target->fd, BLKGETZONESZ, &zone_sectors) == 0 && zone_sectors > 0)
        return target_unsuitable(
            fault, "%s: zoned device, which cannot be written at random; omit --allow-write",
            target->path);
    return lock_device(target, fault);
}

static int open_device(struct target *target, const struct options *options, const char *sys_root,
                       struct fault *fault)
{
    int block_bytes = 0;

    if (options->allow_write) {
        if (claim_device(target, options, sys_root, fault) < 0)
            return -1;
    } else if (open_typed(target, options, sys_root, O_RDONLY, fault) < 0) {
        return -1;
    }
    if (ioctl(target->fd, BLKGETSIZE64, &target->device_bytes) < 0)
        return target_fault(fault, "open", target->path, errno);
    if (ioctl(target->fd, BLKSSZGET, &block_bytes) == 0 && block_bytes > 0)
        target->logical_block = (uint64_t)block_bytes;
    return check_size(target, target->device_bytes, fault);
}

uint64_t target_default_alignment(uint64_t file_block, uint64_t page)
{
    if (file_block <= LEAST_DEFAULT_ALIGNMENT)
        return LEAST_DEFAULT_ALIGNMENT;
    return file_block < page && page % file_block == 0 ? file_block : page;
}

static uint64_t default_alignment(int fd)
{
    struct statvfs status = {0};

    (void)fstatvfs(fd, &status);
    return target_default_alignment(status.f_bsize, page_bytes());
}

static int find_alignment(struct target *target, const char *sys_root, struct fault *fault)
{
    char disk[PATH_MAX];
    struct statx status;

    if (target->kind != TARGET_DEVICE && sysblock_disk(sys_root, target->device, disk) == 0)
        (void)sysblock_number(disk, "queue/logical_block_size", &target->logical_block);
    target->alignment =
        target->logical_block ? target->logical_block : default_alignment(target->fd);
    if (statx(target->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
        (status.stx_mask & STATX_DIOALIGN)) {
        uint32_t aligns[2]; /* of memory, of offsets */

        memcpy(aligns, (const char *)&status + DIO_ALIGN_AT, sizeof(aligns));
        if (aligns[1] == 0)
            return target_unsuitable(
                fault,
                "%s: no direct I/O here (data journalling, encryption or similar); use "
                "another filesystem",
                target->path);
        target->alignment = aligns[0] > aligns[1] ? aligns[0] : aligns[1];
    }
    if (target->alignment < 512)
        target->alignment = 512; /* the smallest block size of the protocol */
    return 0;
}

static int check_alignment(const struct target *target, const struct options *options,
                           struct fault *fault)
{
    const struct {
        const char *name;
        uint64_t value;
    } sizes[] = {{"--span-bytes", target->span}, {"--offset-bytes", target->offset}};

    for (size_t i = 0; i < 2; i++)
        if (sizes[i].value % target->alignment != 0)
            return fault_set(fault, FAULT_USAGE, "usage", 0,
                             "%s=%" PRIu64
                             ": not a multiple of the target's I/O alignment, %" PRIu64 " bytes",
                             sizes[i].name, sizes[i].value, target->alignment);
    if (options->max_transfer_bytes < target->alignment)
        return fault_set(fault, FAULT_USAGE, "usage", 0,
                         "--max-transfer-bytes=%" PRIu64 ": less than the target's I/O alignment, "
                         "%" PRIu64 " bytes",
                         options->max_transfer_bytes, target->alignment);
    return 0;
}

int target_open(const struct options *options, const char *sys_root, struct target *ret,
                struct fault *fault)
{
    int r;

    *ret = (struct target){.kind = options->kind,
                           .path = options->path,
                           .fd = -1,
                           .new_fd = -1,
                           .offset = options->offset_bytes,
                           .span = options->span_bytes};
    if (options->kind == TARGET_SCRATCH)
        r = scratch_open(ret, options, sys_root, fault);
    else if (options->kind == TARGET_FILE)
        r = open_file(ret, options, sys_root, fault);
    else
        r = open_device(ret, options, sys_root, fault);
    if (r == 0)
        r = find_alignment(ret, sys_root, fault);
    if (r == 0)
        r = check_alignment(ret, options, fault);
    if (r < 0)
        target_close(ret);
    return r;
}

int target_open_groups(struct target *target, const struct options *options, unsigned groups,
                       struct fault *fault)
{
    int flags = (options->allow_write || target->kind == TARGET_SCRATCH ? O_RDWR : O_RDONLY);
    char own[64];

    if (target->groups == 0)
        target->group_fds[target->groups++] = target->fd;
    /* The path may lead elsewhere by now; this one leads to the open file, also without a name. */
    (void)snprintf(own, sizeof(own), "/proc/self/fd/%d", target->fd);
    while (target->groups < groups) {
        int fd = target_is_written_device(target, options)
                     ? target->fd
                     : open(own, flags | O_DIRECT | O_CLOEXEC);

        if (fd < 0)
            return target_fault(fault, "open", target->path, errno);
        target->group_fds[target->groups++] = fd;
    }
    return 0;
}

void target_close(struct target *target)
{
    while (target->groups > 0) {
        int fd = target->group_fds[--target->groups];

        if (fd != target->fd)
            (void)close(fd);
    }
    if (target->new_fd >= 0)
        (void)close(target->new_fd);
    if (target->fd >= 0)
        (void)close(target->fd);
    target->fd = target->new_fd = -1;
}
