/* pread(2) and pwrite(2): one request in flight for each thread. */
#include "io/engine_ops.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static size_t state_bytes(unsigned depth)
{
    (void)depth;
    return sizeof(struct completion);
}

static int open_nothing(struct engine *engine)
{
    (void)engine;
    return 0;
}

static void close_nothing(struct engine *engine)
{
    (void)engine;
}

/* The call that submits a request also completes it. */
static int submit(struct engine *engine, struct slot **slots, unsigned count, unsigned wait,
                  struct engine_stats *stats)
{
    const struct place *place = &slots[0]->place;
    ssize_t n;

    (void)wait;
    if (engine_refuses(engine, slots, count))
        return ENGINE_REFUSES;
    stats->submits++;
    n = place->write ? pwrite(engine->fd, place->memory, place->length, (off_t)place->offset)
                     : pread(engine->fd, place->memory, place->length, (off_t)place->offset);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return -errno;
    *(struct completion *)engine->state =
        (struct completion){.slot = slots[0], .result = n < 0 ? -errno : n};
    return 1;
}

static int reap(struct engine *engine, unsigned least, unsigned most, struct engine_stats *stats)
{
    (void)least;
    (void)most;
    (void)stats;
    engine->completions[0] = *(struct completion *)engine->state;
    return 1;
}

static const char *explain(int errnum)
{
    return strerror(errnum);
}

const struct engine_ops psync_ops = {
    .calls = {"psync", "psync", "psync"},
    .state_bytes = state_bytes,
    .open = open_nothing,
    .close = close_nothing,
    .submit = submit,
    .reap = reap,
    .explain = explain,
};
