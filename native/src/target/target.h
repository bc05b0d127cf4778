/* The target of all I/O: an unlinked scratch file, an existing file or a block device, opened with
 * O_DIRECT. */
#ifndef AIO_SWEEP_TARGET_H
#define AIO_SWEEP_TARGET_H

#include "io/team.h"
#include "protocol/fault.h"
#include "protocol/options.h"

#include <sys/types.h>

struct target {
    enum target_kind kind;
    const char *path;
    int fd;
    int new_fd; /* of a second scratch file, which is empty; -1: none */
    /* Open file descriptions for groups; the first is fd. */
    int group_fds[TEAM_MAX_GROUPS];
    unsigned groups;
    dev_t device;           /* of the file's filesystem, or of the device */
    uint64_t offset, span;  /* the part that is read and written */
    uint64_t device_bytes;  /* 0 unless a device */
    uint64_t alignment;     /* block sizes, offsets and shares are multiples of it */
    uint64_t logical_block; /* of the device; 0: unknown */
};

/*
 * Opens the target; reads and writes nothing. A device to be written is opened with O_EXCL, which
 * fails while the device, a partition or a holder is in use, and is locked; partitions are
 * rejected. A scratch file has no name when this returns. Without O_TMPFILE, a SIGKILL between
 * mkostemp and unlink leaves it behind. Returns 0, or -1 with the fault.
 */
int target_open(const struct options *options, const char *sys_root, struct target *ret,
                struct fault *fault);
void target_close(struct target *target);

/* Opens the target again until it has `groups` open file descriptions. A device that is written has
 * one for all: a second open would look like another process. Returns 0, or -1 with the fault. */
int target_open_groups(struct target *target, const struct options *options, unsigned groups,
                       struct fault *fault);

/* Returns the I/O alignment of a file for which the kernel tells neither that nor the block of a
 * device (btrfs and overlay before Linux 6.1), from the block that statvfs(3) gives and the size of
 * a page. Made on this host, btrfs may have blocks of a page. */
uint64_t target_default_alignment(uint64_t file_block, uint64_t page);

/* Sets the fault for an errno of open(2), fallocate(2) and similar calls. Returns -1. */
int target_fault(struct fault *fault, const char *op, const char *path, int errnum);

/* Sets the fault of a target that cannot be used. Returns -1. */
#define target_unsuitable(fault, ...) fault_set(fault, FAULT_TARGET, "open", 0, __VA_ARGS__)

/* Returns true for a device that is written: checked to be blank, filled, and zeroed at the end. */
bool target_is_written_device(const struct target *target, const struct options *options);

#endif
