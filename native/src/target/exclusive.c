#include "target/exclusive.h"

#include "io/move.h"
#include "target/openers.h"

#include <inttypes.h>

#define busy(fault, op, ...) fault_set(fault, FAULT_BUSY, op, 0, __VA_ARGS__)

struct search_work {
    struct openers_roots roots;
    const struct nodes *nodes;
    enum openers found;
    char reason[512];
};

static void search(void *argument)
{
    struct search_work *work = argument;

    work->found = openers_find(&work->roots, work->nodes, work->reason);
}

static enum step_result check_openers(struct context *context, const char *consequence,
                                      struct fault *fault)
{
    struct phase phase = {.name = "check"};
    struct search_work work = {.roots = {.proc = context->options->proc, .sys = "/sys"},
                               .nodes = &context->nodes};

    move_run_with_ticks(context, search, &work, &phase);
    if (work.found == OPENERS_NONE)
        return STEP_OK;
    return busy(fault, "openers", "%s: %s: %s", context->target.path, consequence, work.reason);
}

enum step_result exclusive_begin(struct context *context, struct fault *fault)
{
    struct target *target = &context->target;

    if (!target_is_written_device(target, context->options))
        return STEP_OK;
    nodes_find(&context->nodes, "/sys", target->device);
    if (opened_watch(&context->opened, &context->nodes, "/dev", target->fd, target->path, fault) <
        0)
        return STEP_FAILED;
    context->watch.guard_fd = context->opened.fd;
    if (counters_read(&context->counters, &context->claimed) < 0)
        return busy(
            fault, "counters",
            "%s: not written: it has no I/O counters, so writes of other processes would go "
            "undetected; pass --counters",
            target->path);
    return check_openers(context, "not written", fault);
}

enum step_result exclusive_probe_counters(struct context *context, struct fault *fault)
{
    struct counters_reading now;

    context->counters.live = counters_read(&context->counters, &now) == 0 &&
                             now.read.bytes - context->claimed.read.bytes >= context->bytes_read;
    if (context->counters.live)
        return STEP_OK;
    return busy(
        fault, "counters",
        "%s: not written: its I/O counters do not count, so writes of other processes would "
        "go undetected; write 1 to its queue/iostats in /sys/block",
        context->target.path);
}

static enum step_result check_counters(struct context *context, struct fault *fault)
{
    struct counters_reading now;
    uint64_t counted;

    if (counters_read(&context->counters, &now) < 0) {
        context->span_state = SPAN_LEFT;
        return busy(fault, "check",
                    "%s: its I/O counters can no longer be read; writing stopped, the span is left "
                    "as it is; see the kernel log",
                    context->target.path);
    }
    counted = now.write.bytes - context->claimed.write.bytes;
    if (counted == context->bytes_written)
        return STEP_OK;
    if (context->span_state == SPAN_DIRTY)
        context->span_state = SPAN_LEFT;
    if (counted > context->bytes_written && counted <= now.write.bytes)
        return busy(fault, "check",
                    "%s: another process wrote %" PRIu64
                    " bytes to it during the sweep; writing stopped, the span is left as it is; "
                    "stop that process, then run the sweep again",
                    context->target.path, counted - context->bytes_written);
    return busy(fault, "check",
                "%s: its write counter is below the %" PRIu64
                " bytes written, so writes of other processes would go undetected; writing "
                "stopped, the span is left as it is; write 1 to its queue/iostats in /sys/block",
                context->target.path, context->bytes_written);
}

bool exclusive_intruded(struct context *context)
{
    context->intruded |= opened_take(&context->opened);
    return context->intruded;
}

enum step_result exclusive_check(struct context *context, struct fault *fault)
{
    if (!target_is_written_device(&context->target, context->options))
        return STEP_OK;
    (void)exclusive_intruded(context);
    if (check_counters(context, fault) != STEP_OK)
        return STEP_FAILED;
    if (!context->intruded)
        return STEP_OK;
    return busy(fault, "check",
                "%s: another process opened it during the sweep; writing stopped; run the sweep "
                "again when the device is unused",
                context->target.path);
}

enum step_result exclusive_check_zeroing(struct context *context, struct fault *fault)
{
    static const char consequence[] = "the span is left as it is";
    enum step_result step = STEP_OK;

    (void)exclusive_intruded(context);
    if (context->opened.wrote)
        step = busy(fault, "check", "%s: %s: another process had it open for writing",
                    context->target.path, consequence);
    else if (context->intruded)
        step = check_openers(context, consequence, fault);
    if (step != STEP_OK)
        context->span_state = SPAN_LEFT;
    else
        context->intruded = false;
    return step;
}
