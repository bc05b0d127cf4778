/* The target of all I/O: an unlinked scratch file, an existing file, or a block device, always
 * opened with O_DIRECT. */
#ifndef AIO_SWEEP_TARGET_H
#define AIO_SWEEP_TARGET_H

#include "protocol/fault.h"
#include "protocol/options.h"

#include <sys/types.h>

struct target {
    enum target_kind kind;
    const char *path;
    int fd;
    dev_t device;           /* of the file's filesystem, or of the device */
    uint64_t offset, span;  /* the part that may be read and written */
    uint64_t device_bytes;  /* 0 unless a device */
    uint64_t alignment;     /* of block sizes, offsets and shares */
    uint64_t logical_block; /* of the device; 0: unknown */
};

/*
 * Opens the target and claims it; reads and writes nothing. A device that will be written is opened
 * with O_EXCL, which the kernel refuses while the device, a partition of it or a holder is in use,
 * and is locked; partitions are refused. A scratch file has no name when this returns. Without
 * O_TMPFILE, a SIGKILL in the microseconds between mkostemp and unlink leaves the file behind.
 */
int target_open(const struct options *options, const char *sys_root, struct target *ret,
                struct fault *fault);
void target_close(struct target *target);

/* True for a device that is written: it was blank, is filled with random data, and is zeroed at the
 * end. */
bool target_is_written_device(const struct target *target, const struct options *options);

#endif
