#include "target/prepare.h"

#include "clock.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MIB         (UINT64_C(1) << 20)
#define BLOCK_BYTES MIB
#define DEPTH       16         /* of BLOCK_BYTES; enough for any one drive to be at full speed */
#define ZERO_BYTES  (16 * MIB) /* of one ioctl */

uint64_t blank_first_nonzero(const char *data, uint64_t bytes)
{
    /* memcmp with itself, shifted by one, is the fastest test for "all the same" that libc has. */
    if (bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, (size_t)bytes - 1) == 0))
        return bytes;
    for (uint64_t i = 0; i < bytes; i++)
        if (data[i] != 0)
            return i;
    return bytes;
}

static struct transfer make_transfer(const struct sweep *sweep, bool write)
{
    uint64_t alignment = sweep->target.alignment;
    uint64_t block = BLOCK_BYTES;

    if (block > sweep->buffer.bytes)
        block = sweep->buffer.bytes;
    block = block < alignment ? alignment : block / alignment * alignment;
    return (struct transfer){
        .fd = sweep->target.fd,
        .write = write,
        .allow_write = write,
        .overlap = true,
        .block_size = (uint32_t)block,
        .queue_depth = DEPTH,
        .threads = 1,
        .buffer = sweep->buffer.data,
    };
}

/* The next piece of [at, end) that the buffer can hold. */
static uint64_t piece(const struct sweep *sweep, uint64_t at, uint64_t end)
{
    uint64_t most = sweep->buffer.bytes / sweep->target.alignment * sweep->target.alignment;

    return end - at < most ? end - at : most;
}

static enum sweep_step check_range(struct sweep *sweep, uint64_t start, uint64_t end,
                                   struct sweep_phase *phase, struct fault *fault)
{
    struct transfer transfer = make_transfer(sweep, false);
    uint64_t elapsed_ns;

    for (uint64_t at = start; at < end; at += transfer.bytes) {
        enum sweep_step step;
        uint64_t nonzero;

        transfer.file_offset = at;
        transfer.bytes = piece(sweep, at, end);
        sweep->buffer.noise = false;
        step = sweep_move(sweep, &transfer, phase, &elapsed_ns, fault);
        if (step != SWEEP_ON)
            return step;
        phase->done += transfer.bytes;
        nonzero = blank_first_nonzero(transfer.buffer, transfer.bytes);
        if (nonzero < transfer.bytes)
            return fault_set(fault, FAULT_BUSY, "check", 0,
                             "%s: not blank, the byte at offset %" PRIu64
                             " is not zero; nothing has been written, and nothing will be to a "
                             "device that holds data",
                             sweep->target.path, at + nonzero);
    }
    return SWEEP_ON;
}

enum sweep_step blank_alone(struct sweep *sweep, struct fault *fault)
{
    struct counters_reading now;
    uint64_t theirs;

    if (!target_is_written_device(&sweep->target, sweep->options) ||
        counters_read(&sweep->counters, &now) < 0)
        return SWEEP_ON;
    theirs = now.write_bytes - sweep->claimed_write_bytes - sweep->bytes_written;
    if (theirs == 0 || theirs > now.write_bytes) /* the counters may be off: then less than ours */
        return SWEEP_ON;
    sweep->device_dirty = false;
    return fault_set(fault, FAULT_BUSY, "check", 0,
                     "%s: somebody else has written %" PRIu64
                     " bytes to it during the sweep; nothing more is written, and what is there "
                     "now is left as it is",
                     sweep->target.path, theirs);
}

enum sweep_step blank_check(struct sweep *sweep, struct fault *fault)
{
    const struct target *target = &sweep->target;
    uint64_t size = target->device_bytes, edge = size < MIB ? size : MIB;
    struct sweep_phase phase = {.name = "check", .total = 2 * edge + target->span, .heed = true};
    struct counters_reading claimed;
    enum sweep_step step;

    if (counters_read(&sweep->counters, &claimed) == 0)
        sweep->claimed_write_bytes = claimed.write_bytes;
    if (team_prepare(sweep->team, 1, DEPTH, fault) < 0)
        return SWEEP_FAILED;
    step = check_range(sweep, 0, edge, &phase, fault);
    if (step == SWEEP_ON)
        step = check_range(sweep, size - edge, size, &phase, fault);
    if (step == SWEEP_ON)
        step = check_range(sweep, target->offset, target->offset + target->span, &phase, fault);
    return step;
}

struct sync_work {
    int fd, errnum;
};

static void sync_data(void *argument)
{
    struct sync_work *work = argument;

    work->errnum = fdatasync(work->fd) < 0 ? errno : 0;
}

enum sweep_step blank_fill(struct sweep *sweep, struct fault *fault)
{
    struct sweep_phase phase = {.name = "fill", .total = sweep->target.span, .heed = true};
    uint64_t start_ns = clock_now_ns(), start = sweep->target.offset, elapsed_ns;
    struct transfer transfer = make_transfer(sweep, true);
    struct sync_work sync = {.fd = sweep->target.fd};

    if (!sweep->buffer.noise)
        buffer_fill(&sweep->buffer, start_ns);
    if (team_prepare(sweep->team, 1, DEPTH, fault) < 0)
        return SWEEP_FAILED;
    sweep->device_dirty = sweep->target.kind == TARGET_DEVICE;
    while (phase.done < phase.total) {
        enum sweep_step step;

        if (blank_alone(sweep, fault) != SWEEP_ON)
            return SWEEP_FAILED;
        transfer.file_offset = start + phase.done;
        transfer.bytes = piece(sweep, phase.done, phase.total);
        buffer_stamp(&sweep->buffer, transfer.bytes, start_ns + phase.done);
        step = sweep_move(sweep, &transfer, &phase, &elapsed_ns, fault);
        if (step != SWEEP_ON) {
            /* A scratch file that takes no direct write is no target, rather than a broken one. */
            if (step == SWEEP_FAILED && (fault->errnum == EINVAL || fault->errnum == EOPNOTSUPP))
                fault->code = FAULT_TARGET;
            return step;
        }
        phase.done += transfer.bytes;
    }
    sweep_aside(sweep, sync_data, &sync, &phase);
    if (sync.errnum)
        return fault_set(fault, FAULT_IO, "fill", sync.errnum, "%s: fdatasync: %s",
                         sweep->target.path, strerror(sync.errnum));
    sweep->fill_bytes = phase.total;
    sweep->fill_ns = clock_now_ns() - start_ns;
    return SWEEP_ON;
}

struct zero_work {
    int fd, errnum;
    uint64_t range[2]; /* offset, length */
};

static void zero_range(void *argument)
{
    struct zero_work *work = argument;

    work->errnum = ioctl(work->fd, BLKZEROOUT, work->range) < 0 ? errno : 0;
}

/* For a device without BLKZEROOUT, or with one that fails. */
static enum sweep_step write_zeros(struct sweep *sweep, struct sweep_phase *phase,
                                   struct fault *fault)
{
    struct transfer transfer = make_transfer(sweep, true);
    uint64_t elapsed_ns;

    memset(sweep->buffer.data, 0, (size_t)sweep->buffer.bytes);
    sweep->buffer.noise = false;
    if (team_prepare(sweep->team, 1, DEPTH, fault) < 0)
        return SWEEP_FAILED;
    while (phase->done < phase->total) {
        enum sweep_step step;

        transfer.file_offset = sweep->target.offset + phase->done;
        transfer.bytes = piece(sweep, phase->done, phase->total);
        step = sweep_move(sweep, &transfer, phase, &elapsed_ns, fault);
        if (step != SWEEP_ON)
            return step;
        phase->done += transfer.bytes;
    }
    return SWEEP_ON;
}

enum sweep_step blank_zero(struct sweep *sweep, struct fault *fault)
{
    struct sweep_phase phase = {.name = "zero", .total = sweep->target.span};
    struct zero_work zero = {.fd = sweep->target.fd};
    struct sync_work sync = {.fd = sweep->target.fd};

    if (!sweep->device_dirty)
        return SWEEP_ON;
    if (blank_alone(sweep, fault) != SWEEP_ON)
        return SWEEP_FAILED;
    sweep->device_dirty = false;
    while (phase.done < phase.total) {
        zero.range[0] = sweep->target.offset + phase.done;
        zero.range[1] =
            phase.total - phase.done < ZERO_BYTES ? phase.total - phase.done : ZERO_BYTES;
        sweep_aside(sweep, zero_range, &zero, &phase);
        if (zero.errnum) {
            if (write_zeros(sweep, &phase, fault) != SWEEP_ON)
                return SWEEP_FAILED;
            break;
        }
        sweep->bytes_written += zero.range[1];
        phase.done += zero.range[1];
    }
    sweep_aside(sweep, sync_data, &sync, &phase);
    if (sync.errnum)
        return fault_set(fault, FAULT_IO, "zero", sync.errnum, "%s: fdatasync: %s",
                         sweep->target.path, strerror(sync.errnum));
    return SWEEP_ON;
}
