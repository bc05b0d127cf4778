/* Linux AIO: an io_context of exactly the queue depth. */
#include "io/engine_ops.h"

#include <libaio.h>
#include <string.h>

struct libaio {
    io_context_t context;
    struct iocb *iocbs, **pointers;
    struct io_event *events;
};

static size_t state_bytes(unsigned depth)
{
    return sizeof(struct libaio) +
           depth * (sizeof(struct iocb) + sizeof(struct iocb *) + sizeof(struct io_event));
}

static int open_context(struct engine *engine)
{
    struct libaio *aio = engine->state;
    unsigned depth = engine->key.depth;

    aio->iocbs = (struct iocb *)(aio + 1);
    aio->events = (struct io_event *)(aio->iocbs + depth);
    aio->pointers = (struct iocb **)(aio->events + depth);
    return io_setup((int)depth, &aio->context);
}

static void close_context(struct engine *engine)
{
    struct libaio *aio = engine->state;

    (void)io_destroy(aio->context);
}

static int submit(struct engine *engine, struct slot **slots, unsigned count, unsigned wait,
                  struct engine_stats *stats)
{
    struct libaio *aio = engine->state;

    (void)wait;
    for (unsigned i = 0; i < count; i++) {
        const struct place *place = &slots[i]->place;
        struct iocb *iocb = &aio->iocbs[slots[i] - engine->slots];

        if (place->write)
            io_prep_pwrite(iocb, engine->fd, place->memory, place->length,
                           (long long)place->offset);
        else
            io_prep_pread(iocb, engine->fd, place->memory, place->length, (long long)place->offset);
        iocb->data = slots[i];
        aio->pointers[i] = iocb;
    }
    if (engine_refuses(engine, slots, count))
        return ENGINE_REFUSES;
    stats->submits++;
    return io_submit(aio->context, (long)count, aio->pointers);
}

static int reap(struct engine *engine, unsigned least, unsigned most, struct engine_stats *stats)
{
    struct libaio *aio = engine->state;
    int r;

    stats->reaps++;
    r = io_getevents(aio->context, (long)least, (long)most, aio->events, NULL);
    for (int i = 0; i < r; i++) {
        /* Unsigned in libaio.h, although they carry a negative errno. */
        int64_t result = (int64_t)aio->events[i].res, second = (int64_t)aio->events[i].res2;

        engine->completions[i] = (struct completion){
            .slot = aio->events[i].data, .result = result >= 0 && second < 0 ? second : result};
    }
    return r;
}

static const char *explain(int errnum)
{
    return strerror(errnum);
}

const struct engine_ops libaio_ops = {
    .calls = {"io_setup", "io_submit", "io_getevents"},
    .state_bytes = state_bytes,
    .open = open_context,
    .close = close_context,
    .submit = submit,
    .reap = reap,
    .explain = explain,
};
