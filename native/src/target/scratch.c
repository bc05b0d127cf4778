#include "target/scratch.h"

#include "target/identity.h"
#include "target/space.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* For filesystems without O_TMPFILE. O_DIRECT is set after the unlink, because mkostemp() with
 * O_DIRECT leaves the file behind on filesystems without O_DIRECT. */
static int open_named_scratch(const char *directory)
{
    char *path = NULL;
    int fd, errnum = 0;

    if (asprintf(&path, "%s/.aio-tuned-XXXXXX", directory) < 0) {
        errno = ENOMEM;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        errnum = errno;
    } else {
        (void)unlink(path);
        if (fcntl(fd, F_SETFL, O_DIRECT) < 0) {
            errnum = errno;
            (void)close(fd);
            fd = -1;
        }
    }
    free(path);
    errno = errnum;
    return fd;
}

/* Disables copy-on-write, checksums and compression, which is possible only for an empty file. */
static int set_nocow(const struct target *target, int fd, struct fault *fault)
{
    int flags = 0;

    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags = (flags & ~FS_COMPR_FL) | FS_NOCOW_FL;
        if (ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0)
            return 0;
    }
    return target_unsuitable(fault, "%s: cannot disable copy-on-write (%s); omit --nocow",
                             target->path, strerror(errno));
}

static int open_unlinked(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);

    /* Without O_TMPFILE, some kernels and FUSE filesystems return EISDIR. */
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        return open_named_scratch(directory);
    return fd;
}

/* Opens the file for writes that extend it. It is opened with the target: later its path might lead
 * to another filesystem. */
static int open_new_file(struct target *target, const struct options *options, struct fault *fault)
{
    struct stat status;

    target->new_fd = open_unlinked(target->path);
    if (target->new_fd < 0 || fstat(target->new_fd, &status) < 0)
        return target_fault(fault, "open", target->path, errno);
    if (status.st_dev != target->device)
        return target_unsuitable(
            fault, "%s: another filesystem was mounted there during the open; try again",
            target->path);
    return options->nocow ? set_nocow(target, target->new_fd, fault) : 0;
}

int scratch_open(struct target *target, const struct options *options, const char *sys_root,
                 struct fault *fault)
{
    struct stat status;

    target->fd = open_unlinked(target->path);
    if (target->fd < 0 || fstat(target->fd, &status) < 0)
        return target_fault(fault, "open", target->path, errno);
    target->device = status.st_dev;
    if (identity_check(target, options, sys_root, fault) < 0)
        return -1;
    if (options->nocow && set_nocow(target, target->fd, fault) < 0)
        return -1;
    if (options->protocol >= 2 && options->allow_write && open_new_file(target, options, fault) < 0)
        return -1;
    if (space_check(target->fd, target->path, options->min_free_bytes, target->span, fault) < 0)
        return -1;
    /* Fails now for lack of space, not after minutes of filling. */
    if (fallocate(target->fd, 0, 0, (off_t)target->span) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return target_fault(fault, "fallocate", target->path, errno);
    if (ftruncate(target->fd, (off_t)target->span) < 0)
        return target_fault(fault, "ftruncate", target->path, errno);
    return 0;
}
