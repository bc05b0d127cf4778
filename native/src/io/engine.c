#include "io/engine.h"

#include <errno.h>
#include <libaio.h>
#include <stdlib.h>
#include <string.h>

/* Longest wait for completions, so that a halt is noticed while the device does not answer. */
#define REAP_TIMEOUT_NS 250000000L

struct slot {
    struct iocb iocb; /* first: io_event.obj is the slot */
    uint64_t start_ns;
};

struct engine {
    io_context_t context; /* NULL after a failed io_getevents, which destroys it */
    unsigned depth;
    uint64_t eagain_limit_ns;
    struct slot *slots;
    struct slot **idle;  /* stack of the unused slots */
    struct iocb **ready; /* prepared, not yet submitted */
    struct io_event *events;
};

/* The state of one engine_run(). */
struct run {
    struct engine *engine;
    const struct engine_job *job;
    struct engine_stats *stats;
    uint64_t next;            /* first byte of the share without a request */
    uint64_t now_ns;          /* the last time the clock was read */
    uint64_t eagain_since_ns; /* start of the EAGAINs with nothing in flight; 0: none */
    uint64_t completed;       /* bytes */
    unsigned idle, ready, in_flight;
};

int engine_create(unsigned depth, struct engine **ret)
{
    struct engine *engine = calloc(1, sizeof(*engine));
    int r = -ENOMEM;

    if (!engine)
        return -ENOMEM;
    engine->depth = depth;
    engine->eagain_limit_ns = ENGINE_EAGAIN_LIMIT_NS;
    engine->slots = calloc(depth, sizeof(*engine->slots));
    engine->idle = calloc(depth, sizeof(struct slot *));
    engine->ready = calloc(depth, sizeof(struct iocb *));
    engine->events = calloc(depth, sizeof(*engine->events));
    if (!engine->slots || !engine->idle || !engine->ready || !engine->events)
        goto out;
    r = io_setup((int)depth, &engine->context);
    if (r < 0)
        goto out;
    *ret = engine;
    engine = NULL;
    r = 0;
out:
    engine_destroy(engine);
    return r;
}

void engine_destroy(struct engine *engine)
{
    if (!engine)
        return;
    if (engine->context)
        (void)io_destroy(engine->context);
    free(engine->slots);
    free(engine->idle);
    free(engine->ready);
    free(engine->events);
    free(engine);
}

unsigned engine_depth(const struct engine *engine)
{
    return engine->depth;
}

void engine_set_eagain_limit(struct engine *engine, uint64_t limit_ns)
{
    engine->eagain_limit_ns = limit_ns;
}

static void set_error(struct run *run, enum engine_error error, int errnum, const struct iocb *iocb,
                      uint64_t moved)
{
    struct engine_stats *stats = run->stats;

    if (stats->error != ENGINE_OK)
        return;
    stats->error = error;
    stats->errnum = errnum;
    stats->offset = iocb ? (uint64_t)iocb->u.c.offset : 0;
    stats->length = iocb ? iocb->u.c.nbytes : 0;
    stats->moved = moved;
}

/* Returns true if no more requests may be submitted. */
static bool stopping(const struct run *run)
{
    return run->stats->error != ENGINE_OK ||
           atomic_load_explicit(run->job->halt, memory_order_relaxed);
}

/* Prepares an iocb in every idle slot for the next block of the share. */
static void prepare(struct run *run)
{
    const struct engine_job *job = run->job;
    uint64_t end = job->position + job->bytes;

    while (run->idle > 0 && run->next < end) {
        struct slot *slot = run->engine->idle[--run->idle];
        uint64_t length = end - run->next;
        char *memory = job->buffer + run->next;
        long long offset = (long long)(job->file_offset + run->next);

        if (length > job->block_size)
            length = job->block_size;
        if (job->write)
            io_prep_pwrite(&slot->iocb, job->fd, memory, length, offset);
        else
            io_prep_pread(&slot->iocb, job->fd, memory, length, offset);
        slot->start_ns = run->now_ns;
        run->engine->ready[run->ready++] = &slot->iocb;
        run->next += length;
    }
}

/* Waits 1 ms after an EAGAIN with nothing in flight; sets the error after eagain_limit_ns. */
static void back_off(struct run *run, const struct iocb *iocb)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    run->now_ns = clock_now_ns();
    if (run->eagain_since_ns == 0)
        run->eagain_since_ns = run->now_ns;
    if (run->now_ns - run->eagain_since_ns >= run->engine->eagain_limit_ns)
        set_error(run, ENGINE_EAGAIN, EAGAIN, iocb, 0);
    else
        (void)nanosleep(&pause, NULL);
}

/* Submits the ready iocbs until the kernel has accepted all, returns EAGAIN, or fails. The rest
 * stay ready. */
static void submit(struct run *run)
{
    struct engine *engine = run->engine;
    unsigned taken = 0;

    if (run->job->write && !run->job->allow_write) {
        set_error(run, ENGINE_REFUSED, EPERM, engine->ready[0], 0);
        return;
    }
    while (taken < run->ready) {
        unsigned offered = run->job->single ? 1 : run->ready - taken;
        int r;

        if (taken > 0 && run->job->single) {
            /* With one start time, the last latency would include the earlier calls. */
            run->now_ns = clock_now_ns();
            ((struct slot *)engine->ready[taken])->start_ns = run->now_ns;
        }
        run->stats->submits++;
        r = io_submit(engine->context, (long)offered, engine->ready + taken);
        if (r > 0) {
            taken += (unsigned)r;
            run->in_flight += (unsigned)r;
            run->eagain_since_ns = 0;
            continue;
        }
        if (r == -EINTR && !stopping(run))
            continue;
        if (r != 0 && r != -EAGAIN && r != -EINTR)
            set_error(run, ENGINE_SUBMIT, -r, engine->ready[taken], 0);
        else if (run->in_flight == 0)
            back_off(run, engine->ready[taken]);
        break;
    }
    run->ready -= taken;
    if (taken > 0 && run->ready > 0)
        memmove(engine->ready, engine->ready + taken, run->ready * sizeof(struct iocb *));
}

static void complete(struct run *run, const struct io_event *event)
{
    struct slot *slot = (struct slot *)event->obj;
    /* Unsigned in libaio.h, although they carry a negative errno. */
    long result = (long)event->res, second = (long)event->res2;

    if (result < 0)
        set_error(run, ENGINE_FAILED, (int)-result, &slot->iocb, 0);
    else if (second < 0)
        set_error(run, ENGINE_FAILED, (int)-second, &slot->iocb, 0);
    else if ((uint64_t)result != slot->iocb.u.c.nbytes)
        set_error(run, ENGINE_SHORT, 0, &slot->iocb, (uint64_t)result);
    else
        run->completed += (uint64_t)result;
    hist_add(&run->stats->latency, run->now_ns - slot->start_ns);
    run->engine->idle[run->idle++] = slot;
}

/* Waits for `min_events` completions, REAP_TIMEOUT_NS at most, and handles those that arrived. */
static void reap(struct run *run, unsigned min_events)
{
    struct engine *engine = run->engine;
    struct timespec timeout = {.tv_nsec = REAP_TIMEOUT_NS};
    int r;

    run->stats->reaps++;
    r = io_getevents(engine->context, (long)min_events, (long)run->in_flight, engine->events,
                     &timeout);
    run->now_ns = clock_now_ns();
    if (r == -EINTR)
        return;
    if (r < 0) {
        /* Completions can no longer be read; io_destroy() waits for all requests. */
        set_error(run, ENGINE_GETEVENTS, -r, NULL, 0);
        (void)io_destroy(engine->context);
        engine->context = NULL;
        run->in_flight = 0;
        return;
    }
    for (int i = 0; i < r; i++)
        complete(run, &engine->events[i]);
    run->in_flight -= (unsigned)r;
    run->stats->requests += (unsigned)r;
    atomic_store_explicit(run->job->progress, run->completed, memory_order_relaxed);
}

void engine_run(struct engine *engine, const struct engine_job *job, struct engine_stats *stats)
{
    struct run run = {
        .engine = engine, .job = job, .stats = stats, .next = job->position, .idle = engine->depth};

    for (unsigned i = 0; i < engine->depth; i++)
        engine->idle[i] = &engine->slots[engine->depth - 1 - i];
    stats->error = ENGINE_OK;
    run.now_ns = clock_now_ns();
    if (!engine->context)
        set_error(&run, ENGINE_GETEVENTS, EINVAL, NULL, 0);

    for (;;) {
        if (stopping(&run)) {
            run.ready = 0;
        } else {
            if (job->overlap || (run.in_flight == 0 && run.ready == 0))
                prepare(&run);
            if (run.ready > 0)
                submit(&run);
        }
        if (run.in_flight > 0)
            reap(&run, job->overlap || run.ready > 0 ? 1 : run.in_flight);
        else if (run.ready == 0 && (run.next == job->position + job->bytes || stopping(&run)))
            break;
    }
    stats->bytes += run.completed;
    stats->finish_ns = run.now_ns;
}
