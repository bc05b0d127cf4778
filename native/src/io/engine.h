/*
 * Asynchronous I/O of one thread by libaio, io_uring or pread(2) and pwrite(2), and the loop that
 * submits and reaps one part of a transfer, which is common to them.
 *
 * With libaio the order of the calls is that of DeepSpeed's aio_handle, whose throughput the sweep
 * predicts. The loop neither uses stdio nor allocates.
 */
#ifndef AIO_SWEEP_ENGINE_H
#define AIO_SWEEP_ENGINE_H

#include "clock.h"
#include "io/hist.h"
#include "io/walk.h"

#include <stddef.h>

/* The kernel may reject requests with EAGAIN while it is short of memory. If none completes for
 * this long, it is an error. */
#define ENGINE_EAGAIN_LIMIT_NS (10 * NS_PER_S)

enum engine_kind { ENGINE_LIBAIO, ENGINE_IO_URING, ENGINE_PSYNC };
#define ENGINE_KINDS 3

/* What an engine is made for. */
struct engine_key {
    enum engine_kind kind;
    unsigned depth; /* most requests in flight */
    /* With io_uring, a file and the memory of the requests that are registered; else bytes is 0. */
    int fd;
    char *buffer;
    uint64_t bytes;
};

/* The part of one thread. */
struct engine_job {
    int fd;
    bool allow_write; /* false: refuse a write just before it is submitted */
    bool overlap;     /* refill the queue as completions arrive; else wait for the whole queue */
    bool single;      /* one request per submission */
    struct walk walk;
    const atomic_bool *halt;    /* if set: submit no more, reap the requests in flight, return */
    _Atomic uint64_t *progress; /* bytes completed so far */
};

enum engine_error {
    ENGINE_OK,
    ENGINE_REFUSED, /* a write without allow_write */
    ENGINE_SUBMIT,  /* the submission failed with errnum */
    ENGINE_EAGAIN,  /* EAGAIN for ENGINE_EAGAIN_LIMIT_NS */
    ENGINE_REAP,    /* the wait for completions failed with errnum */
    ENGINE_FAILED,  /* a request failed with errnum */
    ENGINE_SHORT,   /* a request moved only `moved` bytes; 0: removed drive */
};

/* The counts of engine_run() accumulate until the owner clears them. The bytes, finish_ns and the
 * error are those of the last run. */
struct engine_stats {
    uint64_t requests, submits, reaps, again; /* again: EAGAINs */
    uint64_t read_bytes, written_bytes;
    uint64_t finish_ns; /* time of the last completion, taken in the thread */
    struct hist latency;
    enum engine_error error; /* the first of the run */
    int errnum;
    struct place place; /* of the failed request */
    uint64_t moved;
};

struct engine;

/* Returns "libaio", "io_uring" or "psync". */
const char *engine_name(enum engine_kind kind);

/* Finds the engine of that name. Returns false for any other text. */
bool engine_find(const char *name, size_t length, enum engine_kind *ret);

/* The system calls of an engine, for messages. */
struct engine_calls {
    const char *setup, *submit, *reap;
};
const struct engine_calls *engine_calls(enum engine_kind kind);

/* Stores why the engine cannot be used on this host, or "". */
void engine_probe(enum engine_kind kind, char ret_reason[static 256]);

/* An io_uring may be used only by the thread that creates it. Returns 0, -ENOMEM or the error of
 * the setup (-EAGAIN: fs.aio-max-nr reached). */
int engine_create(const struct engine_key *key, struct engine **ret);

/* Waits for an RCU grace period (3 to 30 ms), so callers reuse engines. NULL is allowed. */
void engine_destroy(struct engine *engine);

bool engine_fits(const struct engine *engine, const struct engine_key *key);
unsigned engine_depth(const struct engine *engine);
void engine_set_eagain_limit(struct engine *engine, uint64_t limit_ns); /* for tests */

/*
 * Moves the blocks of the walk. On return nothing is in flight. If stats->error is ENGINE_OK and
 * the bytes are fewer than those of the walk, the run was halted.
 */
void engine_run(struct engine *engine, const struct engine_job *job, struct engine_stats *stats);

#endif
