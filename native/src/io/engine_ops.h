/* What engine.c needs from each kind of engine. */
#ifndef AIO_SWEEP_ENGINE_OPS_H
#define AIO_SWEEP_ENGINE_OPS_H

#include "io/engine.h"

#include <limits.h>

/* A request. */
struct slot {
    struct place place;
    uint64_t start_ns;
};

struct completion {
    struct slot *slot;
    int64_t result; /* bytes or -errno */
};

struct engine_ops;

/* Everything that a thread touches in the loop is in one block of whole cache lines: the engines of
 * two threads share none. */
struct engine {
    const struct engine_ops *ops;
    struct engine_key key;
    uint64_t eagain_limit_ns;
    int fd;           /* of the job */
    bool allow_write; /* by the job */
    bool closed;      /* after a failed reap; no request can be submitted any more */
    struct slot *slots;
    struct slot **idle;  /* stack of the unused slots */
    struct slot **ready; /* prepared, not yet submitted */
    struct completion *completions;
    void *state; /* of the kind; zeroed */
};

/* Returned by submit(): a write without allow_write. */
#define ENGINE_REFUSES INT_MIN

struct engine_ops {
    struct engine_calls calls;
    size_t (*state_bytes)(unsigned depth);
    /* Returns 0 or -errno. */
    int (*open)(struct engine *engine);
    /* Waits for the requests in flight. */
    void (*close)(struct engine *engine);
    /*
     * Submits slots, and may then wait for `wait` completions, to save a system call. Each checks
     * engine_refuses() just before it calls the kernel. Returns the number submitted, -errno if it
     * is none, or ENGINE_REFUSES.
     */
    int (*submit)(struct engine *engine, struct slot **slots, unsigned count, unsigned wait,
                  struct engine_stats *stats);
    /* Waits for `least` completions; stores at most `most`. Returns their number or -errno. */
    int (*reap)(struct engine *engine, unsigned least, unsigned most, struct engine_stats *stats);
    /* Explains an error of open(), for people. */
    const char *(*explain)(int errnum);
};

extern const struct engine_ops libaio_ops, psync_ops;
#ifdef AIO_SWEEP_LIBURING
extern const struct engine_ops io_uring_ops;
#endif

static inline bool engine_refuses(const struct engine *engine, struct slot *const *slots,
                                  unsigned count)
{
    if (engine->allow_write)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (slots[i]->place.write)
            return true;
    return false;
}

#endif
