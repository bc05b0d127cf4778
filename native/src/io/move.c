/* Moving one transfer, and working aside: the two ways in which the main thread waits and ticks. */
#include "sweep.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void sweep_tick(struct sweep *sweep, const struct sweep_phase *phase, uint64_t done_bytes)
{
    struct emit *emit = &sweep->emit;

    emit_begin(emit, "tick");
    if (phase->id)
        emit_uint(emit, "id", *phase->id);
    emit_string(emit, "phase", phase->name);
    emit_uint(emit, "bytes", done_bytes);
    emit_uint(emit, "total_bytes", phase->total);
    (void)emit_send(emit);
}

/* What the kernel says of a failed request is seldom what an operator would say. */
static const char *meaning(int errnum)
{
    switch (errnum) {
    case ENODATA:
        return "a media error: the drive has lost these blocks";
    case EIO:
        return "the device failed, see the kernel log";
    case ENOSPC:
        return "no space left; free some, or ask for a smaller --span-bytes";
    case EDQUOT:
        return "the quota is used up";
    case ENODEV:
    case ENXIO:
        return "the device has gone away";
    case ETIMEDOUT:
        return "the device did not answer in time";
    case EILSEQ:
        return "a data integrity error";
    case EINVAL:
        return "the target does not take direct I/O of this size and alignment";
    default:
        return strerror(errnum);
    }
}

static int trouble_fault(const struct sweep *sweep, const struct transfer *transfer,
                         const struct engine_tally *tally, struct fault *fault)
{
    const char *path = sweep->target.path, *verb = transfer->write ? "write" : "read";

    switch (tally->trouble) {
    case ENGINE_REFUSED:
        return fault_set(fault, FAULT_REQUEST, "io_submit", EPERM,
                         "%s: a write was refused: there is no --allow-write", path);
    case ENGINE_AGAIN:
        return fault_set(
            fault, FAULT_SYSTEM, "io_submit", EAGAIN,
            "%s: io_submit said EAGAIN for too long with nothing in flight: the kernel "
            "is short of memory",
            path);
    case ENGINE_GETEVENTS:
        return fault_set(fault, FAULT_SYSTEM, "io_getevents", tally->errnum, "%s: io_getevents: %s",
                         path, strerror(tally->errnum));
    case ENGINE_SUBMIT:
    case ENGINE_FAILED:
        return fault_set(fault, FAULT_IO, tally->trouble == ENGINE_SUBMIT ? "io_submit" : verb,
                         tally->errnum, "%s: %s of %" PRIu64 " bytes at offset %" PRIu64 ": %s: %s",
                         path, verb, tally->length, tally->offset, fault_errno_name(tally->errnum),
                         meaning(tally->errnum));
    case ENGINE_SHORT:
    case ENGINE_FINE:
    default:
        return fault_set(fault, FAULT_IO, verb, 0,
                         "%s: %s of %" PRIu64 " bytes at offset %" PRIu64 " moved %" PRIu64 "%s",
                         path, verb, tally->length, tally->offset, tally->moved,
                         tally->moved == 0
                             ? ": the device went away, or the file has been truncated"
                             : ": a short transfer");
    }
}

enum sweep_step sweep_move(struct sweep *sweep, const struct transfer *transfer,
                           const struct sweep_phase *phase, uint64_t *ret_elapsed_ns,
                           struct fault *fault)
{
    uint64_t *total = transfer->write ? &sweep->bytes_written : &sweep->bytes_read;
    uint64_t start_ns, finish_ns = 0, moved;
    const struct engine_tally *trouble;
    bool heed = phase->heed;

    start_ns = team_release(sweep->team, transfer);
    for (;;) {
        enum watch_event event = watch_wait(&sweep->watch, team_done_fd(sweep->team), true, heed);

        if (event == WATCH_READY) {
            if (team_collect(sweep->team, &finish_ns))
                break;
        } else if (event == WATCH_STOPPED) {
            team_halt(sweep->team);
            heed = false; /* once is enough; now wait for what is in flight */
        } else {
            sweep_tick(sweep, phase, phase->done + team_progress(sweep->team));
        }
    }
    *ret_elapsed_ns = finish_ns - start_ns;
    moved = team_progress(sweep->team);
    *total += moved;
    trouble = team_trouble(sweep->team);
    if (trouble)
        return trouble_fault(sweep, transfer, trouble, fault);
    return moved == transfer->bytes ? SWEEP_ON : SWEEP_STOPPED;
}

struct aside {
    void (*work)(void *argument);
    void *argument;
    int done_fd;
};

static void *run_aside(void *argument)
{
    struct aside *aside = argument;

    aside->work(aside->argument);
    (void)eventfd_write(aside->done_fd, 1);
    return NULL;
}

void sweep_aside(struct sweep *sweep, void (*work)(void *argument), void *argument,
                 const struct sweep_phase *phase)
{
    struct aside aside = {.work = work, .argument = argument, .done_fd = eventfd(0, EFD_CLOEXEC)};
    pthread_t thread;

    if (aside.done_fd < 0 || pthread_create(&thread, NULL, run_aside, &aside) != 0) {
        work(argument); /* without ticks, then */
    } else {
        while (watch_wait(&sweep->watch, aside.done_fd, true, false) != WATCH_READY)
            sweep_tick(sweep, phase, phase->done);
        (void)pthread_join(thread, NULL);
    }
    if (aside.done_fd >= 0)
        (void)close(aside.done_fd);
}
