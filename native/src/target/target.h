/* What the bytes go to: an unlinked scratch file, an existing file, or a block device, always
 * O_DIRECT. */
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
    uint64_t offset, span;  /* what may be touched */
    uint64_t device_bytes;  /* 0 unless a device */
    uint64_t alignment;     /* of block sizes, offsets and shares */
    uint64_t logical_block; /* of the device; 0: unknown */
};

/*
 * Opens and claims it; reads and writes nothing. A device that will be written is opened O_EXCL,
 * which the kernel refuses while it, a partition of it or a holder is in use, and is locked;
 * partitions are refused. A scratch file has no name by the time this returns (where there is no
 * O_TMPFILE, a SIGKILL in the microseconds between mkostemp and unlink leaves it).
 */
int target_open(const struct options *options, const char *sys_root, struct target *ret,
                struct fault *fault);
void target_close(struct target *target);

/* A written device: it was blank, is filled with noise, and is to be zeroed at the end. */
bool target_is_written_device(const struct target *target, const struct options *options);

#endif
