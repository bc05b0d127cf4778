#include "io/engine.h"

#include "io/engine_ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

/* The state of one engine_run(). */
struct run {
    struct engine *engine;
    struct engine_job job;
    struct engine_stats *stats;
    bool walked;              /* every block has a request */
    uint64_t now_ns;          /* the last time the clock was read */
    uint64_t eagain_since_ns; /* start of the EAGAINs since a request completed; 0: none */
    unsigned idle, ready, in_flight;
};

static const struct {
    const char *name;
    const struct engine_ops *ops; /* NULL: not in this build */
} kinds[ENGINE_KINDS] = {
    [ENGINE_LIBAIO] = {"libaio", &libaio_ops},
#ifdef AIO_SWEEP_LIBURING
    [ENGINE_IO_URING] = {"io_uring", &io_uring_ops},
#else
    [ENGINE_IO_URING] = {"io_uring", NULL},
#endif
    [ENGINE_PSYNC] = {"psync", &psync_ops},
};

const char *engine_name(enum engine_kind kind)
{
    return kinds[kind].name;
}

bool engine_find(const char *name, size_t length, enum engine_kind *ret)
{
    for (int kind = 0; kind < ENGINE_KINDS; kind++) {
        if (strlen(kinds[kind].name) == length && memcmp(kinds[kind].name, name, length) == 0) {
            *ret = (enum engine_kind)kind;
            return true;
        }
    }
    return false;
}

const struct engine_calls *engine_calls(enum engine_kind kind)
{
    return &kinds[kind].ops->calls;
}

void engine_probe(enum engine_kind kind, char ret_reason[static 256])
{
    const struct engine_key key = {.kind = kind, .depth = 1};
    const struct engine_ops *ops = kinds[kind].ops;
    struct engine *engine = NULL;
    int r = ops ? engine_create(&key, &engine) : 0;

    (void)snprintf(ret_reason, 256, "%s",
                   !ops    ? "aio-sweep was built without liburing; build it with liburing-dev"
                   : r < 0 ? ops->explain(-r)
                           : "");
    engine_destroy(engine);
}

static size_t whole_lines(size_t bytes)
{
    return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

/* Returns the start of the next `bytes` bytes of a block. */
static void *carve(char **at, size_t bytes)
{
    char *start = *at;

    *at += whole_lines(bytes);
    return start;
}

int engine_create(const struct engine_key *key, struct engine **ret)
{
    const struct engine_ops *ops = kinds[key->kind].ops;
    const size_t parts[] = {sizeof(struct engine),
                            key->depth * sizeof(struct slot),
                            key->depth * sizeof(struct slot *),
                            key->depth * sizeof(struct slot *),
                            key->depth * sizeof(struct completion),
                            ops->state_bytes(key->depth)};
    struct engine *engine;
    size_t bytes = 0;
    char *at;
    int r;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        bytes += whole_lines(parts[i]);
    at = aligned_alloc(CACHE_LINE, bytes);
    if (!at)
        return -ENOMEM;
    memset(at, 0, bytes);
    engine = carve(&at, parts[0]);
    engine->ops = ops;
    engine->key = *key;
    engine->eagain_limit_ns = ENGINE_EAGAIN_LIMIT_NS;
    engine->slots = carve(&at, parts[1]);
    engine->idle = carve(&at, parts[2]);
    engine->ready = carve(&at, parts[3]);
    engine->completions = carve(&at, parts[4]);
    engine->state = carve(&at, parts[5]);
    r = ops->open(engine);
    if (r < 0) {
        free(engine);
        return r;
    }
    *ret = engine;
    return 0;
}

void engine_destroy(struct engine *engine)
{
    if (!engine)
        return;
    if (!engine->closed)
        engine->ops->close(engine);
    free(engine);
}

bool engine_fits(const struct engine *engine, const struct engine_key *key)
{
    const struct engine_key *own = &engine->key;

    return !engine->closed && own->kind == key->kind && own->depth == key->depth &&
           own->bytes == key->bytes &&
           (key->bytes == 0 || (own->fd == key->fd && own->buffer == key->buffer));
}

unsigned engine_depth(const struct engine *engine)
{
    return engine->key.depth;
}

void engine_set_eagain_limit(struct engine *engine, uint64_t limit_ns)
{
    engine->eagain_limit_ns = limit_ns;
}

static void set_error(struct run *run, enum engine_error error, int errnum, const struct slot *slot,
                      uint64_t moved)
{
    struct engine_stats *stats = run->stats;

    if (stats->error != ENGINE_OK)
        return;
    stats->error = error;
    stats->errnum = errnum;
    stats->place = slot ? slot->place : (struct place){0};
    stats->moved = moved;
}

/* Returns true if no more requests may be submitted. */
static bool stopping(const struct run *run)
{
    return run->stats->error != ENGINE_OK ||
           atomic_load_explicit(run->job.halt, memory_order_relaxed);
}

/* Prepares a request in every idle slot for the next block. */
static void prepare(struct run *run)
{
    while (run->idle > 0 && !run->walked) {
        struct slot *slot = run->engine->idle[run->idle - 1];

        if (!walk_next(&run->job.walk, &slot->place)) {
            run->walked = true;
            break;
        }
        slot->start_ns = run->now_ns;
        run->idle--;
        run->engine->ready[run->ready++] = slot;
    }
}

/* Counts an EAGAIN. With nothing in flight, whose completion would free memory, waits 1 ms; sets
 * the error after eagain_limit_ns. */
static void back_off(struct run *run, const struct slot *slot)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    run->stats->again++;
    if (run->in_flight > 0)
        return;
    run->now_ns = clock_now_ns();
    if (run->eagain_since_ns == 0)
        run->eagain_since_ns = run->now_ns;
    if (run->now_ns - run->eagain_since_ns >= run->engine->eagain_limit_ns)
        set_error(run, ENGINE_EAGAIN, EAGAIN, slot, 0);
    else
        (void)nanosleep(&pause, NULL);
}

/* Submits the ready requests until the kernel has accepted all, returns EAGAIN, or fails. The rest
 * stay ready. */
static void submit(struct run *run)
{
    struct engine *engine = run->engine;
    unsigned taken = 0;

    while (taken < run->ready) {
        struct slot **next = engine->ready + taken;
        unsigned offered = run->job.single ? 1 : run->ready - taken, wait = 0;
        int r;

        if (taken > 0 && run->job.single) {
            /* With one start time, the last latency would include the earlier calls. */
            run->now_ns = clock_now_ns();
            next[0]->start_ns = run->now_ns;
        }
        if (taken + offered == run->ready)
            wait = run->job.overlap ? 1 : run->in_flight + offered;
        r = engine->ops->submit(engine, next, offered, wait, run->stats);
        if (r > 0) {
            taken += (unsigned)r;
            run->in_flight += (unsigned)r;
            continue;
        }
        if (r == -EINTR && !stopping(run))
            continue;
        if (r == ENGINE_REFUSES)
            set_error(run, ENGINE_REFUSED, EPERM, next[0], 0);
        else if (r != 0 && r != -EAGAIN && r != -EINTR)
            set_error(run, ENGINE_SUBMIT, -r, next[0], 0);
        else if (r != -EINTR)
            back_off(run, next[0]);
        break;
    }
    run->ready -= taken;
    if (taken > 0 && run->ready > 0)
        memmove(engine->ready, engine->ready + taken, run->ready * sizeof(struct slot *));
}

static void complete(struct run *run, const struct completion *completion)
{
    struct slot *slot = completion->slot;
    int64_t result = completion->result;

    if (result == -EAGAIN && !stopping(run)) {
        run->engine->ready[run->ready++] = slot;
        back_off(run, slot);
        return;
    }
    if (result < 0)
        set_error(run, ENGINE_FAILED, (int)-result, slot, 0);
    else if ((uint64_t)result != slot->place.length)
        set_error(run, ENGINE_SHORT, 0, slot, (uint64_t)result);
    else if (slot->place.write)
        run->stats->written_bytes += (uint64_t)result;
    else
        run->stats->read_bytes += (uint64_t)result;
    run->eagain_since_ns = 0;
    run->stats->requests++;
    hist_add(&run->stats->latency, run->now_ns - slot->start_ns);
    run->engine->idle[run->idle++] = slot;
}

/* Waits for `least` completions and handles those that arrived. A halt does not end the wait: it
 * would have to wait for the requests in flight anyway. */
static void reap(struct run *run, unsigned least)
{
    struct engine *engine = run->engine;
    int r = engine->ops->reap(engine, least, run->in_flight, run->stats);

    run->now_ns = clock_now_ns();
    if (r == -EINTR)
        return;
    if (r < 0) {
        /* Completions can no longer be read; closing waits for all requests. */
        set_error(run, ENGINE_REAP, -r, NULL, 0);
        engine->ops->close(engine);
        engine->closed = true;
        run->in_flight = 0;
        return;
    }
    run->in_flight -= (unsigned)r;
    for (int i = 0; i < r; i++)
        complete(run, &engine->completions[i]);
    atomic_store_explicit(run->job.progress, run->stats->read_bytes + run->stats->written_bytes,
                          memory_order_relaxed);
}

void engine_run(struct engine *engine, const struct engine_job *job, struct engine_stats *stats)
{
    struct run run = {.engine = engine, .job = *job, .stats = stats, .idle = engine->key.depth};

    for (unsigned i = 0; i < engine->key.depth; i++)
        engine->idle[i] = &engine->slots[engine->key.depth - 1 - i];
    engine->fd = job->fd;
    engine->allow_write = job->allow_write;
    stats->error = ENGINE_OK;
    stats->read_bytes = stats->written_bytes = 0;
    run.now_ns = clock_now_ns();
    if (engine->closed)
        set_error(&run, ENGINE_REAP, EINVAL, NULL, 0);

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
        else if (run.ready == 0 && (run.walked || stopping(&run)))
            break;
    }
    stats->finish_ns = run.now_ns;
}
