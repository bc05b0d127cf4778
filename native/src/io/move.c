#include "io/move.h"

#include "clock.h"
#include "target/exclusive.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void write_tick(struct context *context, const struct phase *phase, uint64_t done_bytes)
{
    struct emit *emit = &context->emit;

    emit_begin(emit, "tick");
    if (phase->id)
        emit_uint(emit, "id", *phase->id);
    emit_string(emit, "phase", phase->name);
    emit_uint(emit, "bytes", done_bytes);
    emit_uint(emit, "total_bytes", phase->total);
    (void)emit_send(emit);
}

/* Returns the cause and, where one is known, the action; more specific than strerror(). */
static const char *explain(int errnum)
{
    switch (errnum) {
    case ENODATA:
        return "media error in these blocks; check the drive's health";
    case EIO:
        return "the device failed; see the kernel log";
    case ENOSPC:
        return "no space left; free some space, or give a smaller --span-bytes";
    case EDQUOT:
        return "quota exceeded; raise it, or give a smaller --span-bytes";
    case ENODEV:
    case ENXIO:
        return "the device was removed";
    case ETIMEDOUT:
        return "the device timed out; see the kernel log";
    case EILSEQ:
        return "data integrity error; see the kernel log";
    case EINVAL:
        return "the target does not support direct I/O of this size and alignment";
    default:
        return strerror(errnum);
    }
}

static int engine_fault(const struct context *context, const struct transfer *transfer,
                        const struct engine_stats *stats, struct fault *fault)
{
    const char *path = context->target.path, *verb = stats->place.write ? "write" : "read";
    const struct engine_calls *calls = engine_calls(transfer->engine);

    switch (stats->error) {
    case ENGINE_REFUSED:
        return fault_set(fault, FAULT_REQUEST, calls->submit, EPERM,
                         "%s: write refused; start aio-sweep with --allow-write", path);
    case ENGINE_EAGAIN:
        return fault_set(
            fault, FAULT_SYSTEM, calls->submit, EAGAIN,
            "%s: %s: EAGAIN for %u s with nothing in flight, the kernel is short of memory; "
            "free some memory",
            path, calls->submit, (unsigned)(ENGINE_EAGAIN_LIMIT_NS / NS_PER_S));
    case ENGINE_REAP:
        return fault_set(fault, FAULT_SYSTEM, calls->reap, stats->errnum, "%s: %s: %s", path,
                         calls->reap, strerror(stats->errnum));
    case ENGINE_SUBMIT:
    case ENGINE_FAILED:
        return fault_set(fault, FAULT_IO, stats->error == ENGINE_SUBMIT ? calls->submit : verb,
                         stats->errnum, "%s: %s of %" PRIu32 " bytes at offset %" PRIu64 ": %s: %s",
                         path, verb, stats->place.length, stats->place.offset,
                         fault_errno_name(stats->errnum), explain(stats->errnum));
    case ENGINE_SHORT:
    case ENGINE_OK:
    default:
        return fault_set(fault, FAULT_IO, verb, 0,
                         "%s: %s of %" PRIu32 " bytes at offset %" PRIu64 " moved %" PRIu64
                         " bytes; %s",
                         path, verb, stats->place.length, stats->place.offset, stats->moved,
                         stats->moved == 0 ? "the device was removed, or the file truncated"
                                           : "see the kernel log");
    }
}

/* Returns the fault of a run that a signal or the guard has ended, or STEP_OK. */
static enum step_result check_guards(struct context *context, const struct phase *phase,
                                     struct fault *fault)
{
    /* Deleting the scratch file makes requests in flight fail or fall short; report the cause. */
    if (atomic_load(&context->space.tripped))
        return space_fault(&context->space, context->target.path, fault);
    if (phase->stop_on_signal && exclusive_intruded(context))
        return exclusive_check(context, fault);
    return STEP_OK;
}

enum step_result move_transfer(struct context *context, const struct transfer *transfer,
                               const struct phase *phase, struct moved *ret, struct fault *fault)
{
    uint64_t finish_ns[TEAM_MAX_GROUPS], start_ns, moved, written;
    const struct engine_stats *failed;
    bool stop_on_signal = phase->stop_on_signal;
    enum step_result step;

    *ret = (struct moved){0};
    if (stop_on_signal && watch_stopped(&context->watch)) {
        step = check_guards(context, phase, fault);
        return step == STEP_OK ? STEP_STOPPED : step;
    }
    start_ns = team_start(context->team, transfer);
    for (;;) {
        enum watch_event event =
            watch_wait(&context->watch, team_done_fd(context->team), true, stop_on_signal);

        if (event == WATCH_READY) {
            if (team_collect(context->team, finish_ns))
                break;
        } else if (event == WATCH_STOPPED) {
            team_halt(context->team);
            stop_on_signal = false; /* halt once, then wait for the requests in flight */
        } else {
            write_tick(context, phase, phase->done + team_progress(context->team));
        }
    }
    ret->return_ns = clock_now_ns();
    for (unsigned group = 0; group < transfer->groups; group++) {
        ret->groups_ns[group] = finish_ns[group] - start_ns;
        if (ret->groups_ns[group] > ret->elapsed_ns)
            ret->elapsed_ns = ret->groups_ns[group];
    }
    ret->return_ns -= start_ns + ret->elapsed_ns;
    moved = team_progress(context->team);
    written = team_written(context->team);
    context->bytes_written += written;
    context->bytes_read += moved - written;
    step = check_guards(context, phase, fault);
    if (step != STEP_OK)
        return step;
    failed = team_error(context->team);
    if (failed)
        return engine_fault(context, transfer, failed, fault);
    return moved == transfer->bytes ? STEP_OK : STEP_STOPPED;
}

struct background {
    void (*work)(void *argument);
    void *argument;
    int done_fd;
};

static void *run_work(void *argument)
{
    struct background *background = argument;

    background->work(background->argument);
    (void)eventfd_write(background->done_fd, 1);
    return NULL;
}

void move_run_with_ticks(struct context *context, void (*work)(void *argument), void *argument,
                         const struct phase *phase)
{
    struct background background = {
        .work = work, .argument = argument, .done_fd = eventfd(0, EFD_CLOEXEC)};
    pthread_t thread;

    if (background.done_fd < 0 || pthread_create(&thread, NULL, run_work, &background) != 0) {
        work(argument); /* no thread: run it here, without ticks */
    } else {
        while (watch_wait(&context->watch, background.done_fd, true, false) != WATCH_READY)
            write_tick(context, phase, phase->done);
        (void)pthread_join(thread, NULL);
    }
    if (background.done_fd >= 0)
        (void)close(background.done_fd);
}
