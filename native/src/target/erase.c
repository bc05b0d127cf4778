#include "target/erase.h"

#include "io/move.h"
#include "io/stamp.h"
#include "target/exclusive.h"
#include "target/prepare.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

/* Reads [at, at + bytes) into the buffer. */
static enum step_result read_piece(struct context *context, uint64_t at, uint64_t bytes,
                                   struct phase *phase, struct fault *fault)
{
    struct transfer transfer = prepare_transfer(context, DIRECTION_READ);
    struct moved moved;

    transfer.plan.file_offset = at;
    transfer.bytes = bytes;
    context->buffer.random = false;
    return move_transfer(context, &transfer, phase, &moved, fault);
}

/* Checks the sectors that read_piece() has read. *marked is set if one of them bears the key. */
static enum step_result check_piece(struct context *context, uint64_t at, uint64_t bytes,
                                    bool *marked, struct fault *fault)
{
    const struct target *target = &context->target;
    const char *data = context->buffer.data;

    *marked = false;
    for (uint64_t i = 0; i < bytes; i += STAMP_SECTOR) {
        bool inside = at + i >= target->offset && at + i < target->offset + target->span;

        if (prepare_first_nonzero(data + i, STAMP_SECTOR) == STAMP_SECTOR)
            continue;
        if (!inside || !stamp_is_of(data + i, &context->options->key))
            return fault_set(fault, FAULT_BUSY, "erase", 0,
                             "%s: not erased: the sector at offset %" PRIu64
                             " is neither blank nor marked with the key; check what wrote it",
                             target->path, at + i);
        *marked = true;
    }
    return STEP_OK;
}

static uint64_t piece_bytes(const struct context *context, uint64_t at, uint64_t end)
{
    uint64_t most = context->buffer.bytes / context->target.alignment * context->target.alignment;

    if (most > MIB)
        most = MIB;
    return end - at < most ? end - at : most;
}

static enum step_result zero_piece(struct context *context, uint64_t at, uint64_t bytes,
                                   struct fault *fault)
{
    uint64_t range[2] = {at, bytes};

    if (exclusive_check_zeroing(context, fault) != STEP_OK)
        return STEP_FAILED;
    if (ioctl(context->target.fd, BLKZEROOUT, range) < 0)
        return fault_set(fault, FAULT_IO, "erase", errno, "%s: BLKZEROOUT: %s; see the kernel log",
                         context->target.path, strerror(errno));
    context->bytes_written += bytes;
    return STEP_OK;
}

static enum step_result walk(struct context *context, uint64_t start, uint64_t end, bool zero,
                             struct phase *phase, struct fault *fault)
{
    uint64_t bytes;

    for (uint64_t at = start; at < end; at += bytes) {
        enum step_result step;
        bool marked;

        bytes = piece_bytes(context, at, end);
        step = read_piece(context, at, bytes, phase, fault);
        if (step == STEP_OK)
            step = check_piece(context, at, bytes, &marked, fault);
        if (step == STEP_OK && zero && marked)
            step = zero_piece(context, at, bytes, fault);
        if (step != STEP_OK)
            return step;
        phase->done += bytes;
    }
    return STEP_OK;
}

enum step_result erase_span(struct context *context, struct fault *fault)
{
    const struct target *target = &context->target;
    uint64_t size = target->device_bytes, edge = size < MIB ? size : MIB;
    uint64_t end = target->offset + target->span;
    struct phase check = {
        .name = "check", .total = 2 * edge + target->span, .stop_on_signal = true};
    struct phase zero = {.name = "erase", .total = target->span, .stop_on_signal = true};
    struct transfer transfer = prepare_transfer(context, DIRECTION_READ);
    enum step_result step;

    if (team_prepare(context->team, &transfer, fault) < 0)
        return STEP_FAILED;
    context->span_state = SPAN_LEFT;
    step = walk(context, 0, edge, false, &check, fault);
    if (step == STEP_OK)
        step = walk(context, size - edge, size, false, &check, fault);
    if (step == STEP_OK)
        step = walk(context, target->offset, end, false, &check, fault);
    if (step == STEP_OK)
        step = exclusive_probe_counters(context, fault);
    if (step == STEP_OK)
        step = exclusive_check(context, fault);
    if (step == STEP_OK)
        step = walk(context, target->offset, end, true, &zero, fault);
    if (step == STEP_OK && fdatasync(target->fd) < 0)
        return fault_set(fault, FAULT_IO, "erase", errno, "%s: fdatasync: %s; see the kernel log",
                         target->path, strerror(errno));
    if (step == STEP_OK)
        context->span_state = SPAN_CLEAN;
    return step;
}
