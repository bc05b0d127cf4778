#include "target/prepare.h"

#include "clock.h"
#include "io/move.h"
#include "target/exclusive.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MIB         (UINT64_C(1) << 20)
#define BLOCK_BYTES MIB
#define DEPTH       16         /* of BLOCK_BYTES: 16 MiB in flight */
#define ZERO_BYTES  (16 * MIB) /* between two checks for other users */

uint64_t prepare_first_nonzero(const char *data, uint64_t bytes)
{
    /* All bytes are equal if the data equals itself shifted by one byte; memcmp() is vectorized. */
    if (bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, (size_t)bytes - 1) == 0))
        return bytes;
    for (uint64_t i = 0; i < bytes; i++)
        if (data[i] != 0)
            return i;
    return bytes;
}

struct transfer prepare_transfer(const struct context *context, enum direction direction)
{
    uint64_t alignment = context->target.alignment;
    uint64_t block = BLOCK_BYTES;

    if (block > context->buffer.bytes)
        block = context->buffer.bytes;
    block = block < alignment ? alignment : block / alignment * alignment;
    return (struct transfer){
        .fds = &context->target.fd,
        .allow_write = direction == DIRECTION_WRITE,
        .overlap = true,
        .queue_depth = DEPTH,
        .threads = 1,
        .groups = 1,
        .plan = {.direction = direction,
                 .block_size = (uint32_t)block,
                 .buffer = context->buffer.data},
    };
}

/* Returns the length of the next part of [at, end) that fits into the buffer. */
static uint64_t piece(const struct context *context, uint64_t at, uint64_t end)
{
    uint64_t max = context->buffer.bytes / context->target.alignment * context->target.alignment;

    return end - at < max ? end - at : max;
}

static enum step_result check_range(struct context *context, uint64_t start, uint64_t end,
                                    struct phase *phase, struct fault *fault)
{
    struct transfer transfer = prepare_transfer(context, DIRECTION_READ);
    struct moved moved;

    for (uint64_t at = start; at < end; at += transfer.bytes) {
        enum step_result step;
        uint64_t nonzero;

        transfer.plan.file_offset = at;
        transfer.bytes = piece(context, at, end);
        context->buffer.random = false;
        step = move_transfer(context, &transfer, phase, &moved, fault);
        if (step != STEP_OK)
            return step;
        phase->done += transfer.bytes;
        nonzero = prepare_first_nonzero(transfer.plan.buffer, transfer.bytes);
        if (nonzero < transfer.bytes)
            return fault_set(fault, FAULT_BUSY, "check", 0,
                             "%s: not blank: the byte at offset %" PRIu64
                             " is not zero; nothing was written; use a blank device",
                             context->target.path, at + nonzero);
    }
    return STEP_OK;
}

enum step_result prepare_check_blank(struct context *context, struct fault *fault)
{
    const struct target *target = &context->target;
    uint64_t size = target->device_bytes, edge = size < MIB ? size : MIB;
    struct phase phase = {
        .name = "check", .total = 2 * edge + target->span, .stop_on_signal = true};
    struct transfer transfer = prepare_transfer(context, DIRECTION_READ);
    enum step_result step;

    if (team_prepare(context->team, &transfer, fault) < 0)
        return STEP_FAILED;
    step = check_range(context, 0, edge, &phase, fault);
    if (step == STEP_OK)
        step = check_range(context, size - edge, size, &phase, fault);
    if (step == STEP_OK)
        step = check_range(context, target->offset, target->offset + target->span, &phase, fault);
    if (step == STEP_OK)
        step = exclusive_probe_counters(context, fault);
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
    uint64_t start_ns = clock_now_ns(), start = context->target.offset;
    struct moved moved;
    struct transfer transfer = prepare_transfer(context, DIRECTION_WRITE);
    struct sync_work sync = {.fd = context->target.fd};

    if (!context->buffer.random)
        buffer_fill(&context->buffer, start_ns);
    if (team_prepare(context->team, &transfer, fault) < 0)
        return STEP_FAILED;
    if (exclusive_check(context, fault) != STEP_OK)
        return STEP_FAILED;
    if (context->target.kind == TARGET_DEVICE)
        context->span_state = SPAN_DIRTY;
    while (phase.done < phase.total) {
        enum step_result step;

        if (exclusive_check(context, fault) != STEP_OK)
            return STEP_FAILED;
        transfer.plan.file_offset = start + phase.done;
        transfer.bytes = piece(context, phase.done, phase.total);
        buffer_stamp(&context->buffer, transfer.bytes, start_ns + phase.done);
        step = move_transfer(context, &transfer, &phase, &moved, fault);
        if (step != STEP_OK) {
            /* A filesystem that rejects direct writes is unsuitable (66), not faulty (74). */
            if (step == STEP_FAILED && (fault->errnum == EINVAL || fault->errnum == EOPNOTSUPP))
                fault->code = FAULT_TARGET;
            return step;
        }
        phase.done += transfer.bytes;
    }
    move_run_with_ticks(context, sync_data, &sync, &phase);
    if (sync.errnum)
        return fault_set(fault, FAULT_IO, "fill", sync.errnum,
                         "%s: fdatasync: %s; see the kernel log", context->target.path,
                         strerror(sync.errnum));
    context->fill_bytes = phase.total;
    context->fill_ns = clock_now_ns() - start_ns;
    return STEP_OK;
}

struct zero_work {
    int fd, opened_fd, errnum;
    uint64_t start, bytes, done;
};

/* Zeroes 1 MiB at a time: of the data that another process writes after it has opened the device,
 * only what falls into the piece in progress is lost. */
static void zero_range(void *argument)
{
    struct zero_work *work = argument;
    struct pollfd opened = {.fd = work->opened_fd, .events = POLLIN};

    while (work->errnum == 0 && work->done < work->bytes && poll(&opened, 1, 0) == 0) {
        uint64_t left = work->bytes - work->done;
        uint64_t range[2] = {work->start + work->done, left < MIB ? left : MIB};

        if (ioctl(work->fd, BLKZEROOUT, range) < 0)
            work->errnum = errno;
        else
            work->done += range[1];
    }
}

/* Zeroes by plain writes, for a device on which BLKZEROOUT fails. */
static enum step_result write_zeros(struct context *context, struct phase *phase,
                                    struct fault *fault)
{
    struct transfer transfer = prepare_transfer(context, DIRECTION_WRITE);
    struct moved moved;

    memset(context->buffer.data, 0, (size_t)context->buffer.bytes);
    context->buffer.random = false;
    if (team_prepare(context->team, &transfer, fault) < 0)
        return STEP_FAILED;
    while (phase->done < phase->total) {
        enum step_result step;

        if (exclusive_check_zeroing(context, fault) != STEP_OK)
            return STEP_FAILED;
        transfer.plan.file_offset = context->target.offset + phase->done;
        transfer.bytes = piece(context, phase->done, phase->total);
        step = move_transfer(context, &transfer, phase, &moved, fault);
        if (step != STEP_OK)
            return step;
        phase->done += transfer.bytes;
    }
    return STEP_OK;
}

static enum step_result zero_all(struct context *context, struct phase *phase, struct fault *fault)
{
    while (phase->done < phase->total) {
        struct zero_work zero = {.fd = context->target.fd,
                                 .opened_fd = context->opened.fd,
                                 .start = context->target.offset + phase->done,
                                 .bytes = phase->total - phase->done};

        if (exclusive_check_zeroing(context, fault) != STEP_OK)
            return STEP_FAILED;
        if (zero.bytes > ZERO_BYTES)
            zero.bytes = ZERO_BYTES;
        move_run_with_ticks(context, zero_range, &zero, phase);
        context->bytes_written += zero.done;
        phase->done += zero.done;
        if (zero.errnum)
            return write_zeros(context, phase, fault);
    }
    return STEP_OK;
}

enum step_result prepare_zero(struct context *context, struct fault *fault)
{
    struct phase phase = {.name = "zero", .total = context->target.span};
    struct sync_work sync = {.fd = context->target.fd};

    if (context->span_state != SPAN_DIRTY)
        return STEP_OK;
    /* Opened by another process, the device may still be zeroed; written by one, it may not. */
    if (exclusive_check(context, fault) != STEP_OK && context->span_state != SPAN_DIRTY)
        return STEP_FAILED;
    if (zero_all(context, &phase, fault) != STEP_OK)
        return STEP_FAILED;
    move_run_with_ticks(context, sync_data, &sync, &phase);
    if (sync.errnum)
        return fault_set(fault, FAULT_IO, "zero", sync.errnum,
                         "%s: fdatasync: %s; see the kernel log", context->target.path,
                         strerror(sync.errnum));
    context->span_state = SPAN_CLEAN;
    return STEP_OK;
}
