#include "target/prepare.h"

#include "clock.h"
#include "io/move.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MIB         (UINT64_C(1) << 20)
#define BLOCK_BYTES MIB
#define DEPTH       16         /* of BLOCK_BYTES; enough for full speed on any one drive */
#define ZERO_BYTES  (16 * MIB) /* of one ioctl */

uint64_t prepare_first_nonzero(const char *data, uint64_t bytes)
{
    /* Comparing the data with itself, shifted by one byte, is the fastest test in libc for equal
     * bytes. */
    if (bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, (size_t)bytes - 1) == 0))
        return bytes;
    for (uint64_t i = 0; i < bytes; i++)
        if (data[i] != 0)
            return i;
    return bytes;
}

static struct transfer make_transfer(const struct context *context, bool write)
{
    uint64_t alignment = context->target.alignment;
    uint64_t block = BLOCK_BYTES;

    if (block > context->buffer.bytes)
        block = context->buffer.bytes;
    block = block < alignment ? alignment : block / alignment * alignment;
    return (struct transfer){
        .fd = context->target.fd,
        .write = write,
        .allow_write = write,
        .overlap = true,
        .block_size = (uint32_t)block,
        .queue_depth = DEPTH,
        .threads = 1,
        .buffer = context->buffer.data,
    };
}

/* Returns the length of the next part of [at, end), at most what the buffer can hold. */
static uint64_t piece(const struct context *context, uint64_t at, uint64_t end)
{
    uint64_t max = context->buffer.bytes / context->target.alignment * context->target.alignment;

    return end - at < max ? end - at : max;
}

static enum step_result check_range(struct context *context, uint64_t start, uint64_t end,
                                    struct phase *phase, struct fault *fault)
{
    struct transfer transfer = make_transfer(context, false);
    uint64_t elapsed_ns;

    for (uint64_t at = start; at < end; at += transfer.bytes) {
        enum step_result step;
        uint64_t nonzero;

        transfer.file_offset = at;
        transfer.bytes = piece(context, at, end);
        context->buffer.random = false;
        step = move_transfer(context, &transfer, phase, &elapsed_ns, fault);
        if (step != STEP_OK)
            return step;
        phase->done += transfer.bytes;
        nonzero = prepare_first_nonzero(transfer.buffer, transfer.bytes);
        if (nonzero < transfer.bytes)
            return fault_set(fault, FAULT_BUSY, "check", 0,
                             "%s: not blank, the byte at offset %" PRIu64
                             " is not zero; nothing has been written, and nothing will be to a "
                             "device that holds data",
                             context->target.path, at + nonzero);
    }
    return STEP_OK;
}

enum step_result prepare_check_exclusive(struct context *context, struct fault *fault)
{
    struct counters_reading now;
    uint64_t theirs;

    if (!target_is_written_device(&context->target, context->options) ||
        counters_read(&context->counters, &now) < 0)
        return STEP_OK;
    theirs = now.write_bytes - context->claimed_write_bytes - context->bytes_written;
    /* If the device does not count its I/O, the difference wraps around. */
    if (theirs == 0 || theirs > now.write_bytes)
        return STEP_OK;
    context->device_dirty = false;
    return fault_set(fault, FAULT_BUSY, "check", 0,
                     "%s: somebody else has written %" PRIu64
                     " bytes to it during the sweep; nothing more is written, and what is there "
                     "now is left as it is",
                     context->target.path, theirs);
}

enum step_result prepare_check_blank(struct context *context, struct fault *fault)
{
    const struct target *target = &context->target;
    uint64_t size = target->device_bytes, edge = size < MIB ? size : MIB;
    struct phase phase = {
        .name = "check", .total = 2 * edge + target->span, .stop_on_signal = true};
    struct counters_reading claimed;
    enum step_result step;

    if (counters_read(&context->counters, &claimed) == 0)
        context->claimed_write_bytes = claimed.write_bytes;
    if (team_prepare(context->team, 1, DEPTH, fault) < 0)
        return STEP_FAILED;
    step = check_range(context, 0, edge, &phase, fault);
    if (step == STEP_OK)
        step = check_range(context, size - edge, size, &phase, fault);
    if (step == STEP_OK)
        step = check_range(context, target->offset, target->offset + target->span, &phase, fault);
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

enum step_result prepare_fill(struct context *context, struct fault *fault)
{
    struct phase phase = {.name = "fill", .total = context->target.span, .stop_on_signal = true};
    uint64_t start_ns = clock_now_ns(), start = context->target.offset, elapsed_ns;
    struct transfer transfer = make_transfer(context, true);
    struct sync_work sync = {.fd = context->target.fd};

    if (!context->buffer.random)
        buffer_fill(&context->buffer, start_ns);
    if (team_prepare(context->team, 1, DEPTH, fault) < 0)
        return STEP_FAILED;
    context->device_dirty = context->target.kind == TARGET_DEVICE;
    while (phase.done < phase.total) {
        enum step_result step;

        if (prepare_check_exclusive(context, fault) != STEP_OK)
            return STEP_FAILED;
        transfer.file_offset = start + phase.done;
        transfer.bytes = piece(context, phase.done, phase.total);
        buffer_stamp(&context->buffer, transfer.bytes, start_ns + phase.done);
        step = move_transfer(context, &transfer, &phase, &elapsed_ns, fault);
        if (step != STEP_OK) {
            /* A filesystem that refuses direct writes is unsuitable (66), not broken (74). */
            if (step == STEP_FAILED && (fault->errnum == EINVAL || fault->errnum == EOPNOTSUPP))
                fault->code = FAULT_TARGET;
            return step;
        }
        phase.done += transfer.bytes;
    }
    move_run_with_ticks(context, sync_data, &sync, &phase);
    if (sync.errnum)
        return fault_set(fault, FAULT_IO, "fill", sync.errnum, "%s: fdatasync: %s",
                         context->target.path, strerror(sync.errnum));
    context->fill_bytes = phase.total;
    context->fill_ns = clock_now_ns() - start_ns;
    return STEP_OK;
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

/* For a device on which BLKZEROOUT fails. */
static enum step_result write_zeros(struct context *context, struct phase *phase,
                                    struct fault *fault)
{
    struct transfer transfer = make_transfer(context, true);
    uint64_t elapsed_ns;

    memset(context->buffer.data, 0, (size_t)context->buffer.bytes);
    context->buffer.random = false;
    if (team_prepare(context->team, 1, DEPTH, fault) < 0)
        return STEP_FAILED;
    while (phase->done < phase->total) {
        enum step_result step;

        transfer.file_offset = context->target.offset + phase->done;
        transfer.bytes = piece(context, phase->done, phase->total);
        step = move_transfer(context, &transfer, phase, &elapsed_ns, fault);
        if (step != STEP_OK)
            return step;
        phase->done += transfer.bytes;
    }
    return STEP_OK;
}

enum step_result prepare_zero(struct context *context, struct fault *fault)
{
    struct phase phase = {.name = "zero", .total = context->target.span};
    struct zero_work zero = {.fd = context->target.fd};
    struct sync_work sync = {.fd = context->target.fd};

    if (!context->device_dirty)
        return STEP_OK;
    if (prepare_check_exclusive(context, fault) != STEP_OK)
        return STEP_FAILED;
    context->device_dirty = false;
    while (phase.done < phase.total) {
        zero.range[0] = context->target.offset + phase.done;
        zero.range[1] =
            phase.total - phase.done < ZERO_BYTES ? phase.total - phase.done : ZERO_BYTES;
        move_run_with_ticks(context, zero_range, &zero, &phase);
        if (zero.errnum) {
            if (write_zeros(context, &phase, fault) != STEP_OK)
                return STEP_FAILED;
            break;
        }
        context->bytes_written += zero.range[1];
        phase.done += zero.range[1];
    }
    move_run_with_ticks(context, sync_data, &sync, &phase);
    if (sync.errnum)
        return fault_set(fault, FAULT_IO, "zero", sync.errnum, "%s: fdatasync: %s",
                         context->target.path, strerror(sync.errnum));
    return STEP_OK;
}
