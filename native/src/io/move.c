#include "io/move.h"

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
    const char *path = context->target.path, *verb = transfer->write ? "write" : "read";

    switch (stats->error) {
    case ENGINE_REFUSED:
        return fault_set(fault, FAULT_REQUEST, "io_submit", EPERM,
                         "%s: write refused; start aio-sweep with --allow-write", path);
    case ENGINE_EAGAIN:
        return fault_set(
            fault, FAULT_SYSTEM, "io_submit", EAGAIN,
            "%s: io_submit: EAGAIN for %u s with nothing in flight, the kernel is short of memory; "
            "free some memory",
            path, (unsigned)(ENGINE_EAGAIN_LIMIT_NS / NS_PER_S));
    case ENGINE_GETEVENTS:
        return fault_set(fault, FAULT_SYSTEM, "io_getevents", stats->errnum, "%s: io_getevents: %s",
                         path, strerror(stats->errnum));
    case ENGINE_SUBMIT:
    case ENGINE_FAILED:
        return fault_set(fault, FAULT_IO, stats->error == ENGINE_SUBMIT ? "io_submit" : verb,
                         stats->errnum, "%s: %s of %" PRIu64 " bytes at offset %" PRIu64 ": %s: %s",
                         path, verb, stats->length, stats->offset, fault_errno_name(stats->errnum),
                         explain(stats->errnum));
    case ENGINE_SHORT:
    case ENGINE_OK:
    default:
        return fault_set(fault, FAULT_IO, verb, 0,
                         "%s: %s of %" PRIu64 " bytes at offset %" PRIu64 " moved %" PRIu64
                         " bytes; %s",
                         path, verb, stats->length, stats->offset, stats->moved,
                         stats->moved == 0 ? "the device was removed, or the file truncated"
                                           : "see the kernel log");
    }
}

enum step_result move_transfer(struct context *context, const struct transfer *transfer,
                               const struct phase *phase, uint64_t *ret_elapsed_ns,
                               struct fault *fault)
{
    uint64_t *total = transfer->write ? &context->bytes_written : &context->bytes_read;
    uint64_t start_ns, finish_ns = 0, moved;
    const struct engine_stats *failed;
    bool stop_on_signal = phase->stop_on_signal;

    start_ns = team_start(context->team, transfer);
    for (;;) {
        enum watch_event event =
            watch_wait(&context->watch, team_done_fd(context->team), true, stop_on_signal);

        if (event == WATCH_READY) {
            if (team_collect(context->team, &finish_ns))
                break;
        } else if (event == WATCH_STOPPED) {
            team_halt(context->team);
            stop_on_signal = false; /* halt once, then wait for the requests in flight */
        } else {
            write_tick(context, phase, phase->done + team_progress(context->team));
        }
    }
    *ret_elapsed_ns = finish_ns - start_ns;
    moved = team_progress(context->team);
    *total += moved;
    /* Deleting the scratch file makes requests in flight fail or fall short; report the cause. */
    if (atomic_load(&context->space.tripped))
        return space_fault(&context->space, context->target.path, fault);
    if (phase->stop_on_signal && exclusive_intruded(context))
        return exclusive_check(context, fault);
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
