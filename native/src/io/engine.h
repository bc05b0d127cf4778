/*
 * Linux AIO of one thread: an io_context_t of exactly the queue depth, and the loop that moves one
 * share of a transfer through it.
 *
 * The semantics are those of DeepSpeed's aio_handle, whose throughput the sweep predicts. The loop
 * uses no stdio and allocates nothing.
 */
#ifndef AIO_SWEEP_ENGINE_H
#define AIO_SWEEP_ENGINE_H

#include "clock.h"
#include "io/hist.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* io_submit may return EAGAIN when the kernel is short of memory. After this time with nothing in
 * flight it is an error. */
#define ENGINE_EAGAIN_LIMIT_NS (10 * NS_PER_S)

struct engine;

/* One thread's share of a transfer: bytes [position, position + bytes) of the buffer, which go to
 * or come from offset (file_offset + position) of the target. */
struct engine_job {
    int fd;
    bool write;
    bool allow_write; /* false: a write is refused, just before io_submit */
    bool overlap;     /* refill as completions arrive, else submit a queue and wait for all of it */
    bool single;      /* one iocb per io_submit */
    uint32_t block_size;
    char *buffer;
    uint64_t position;
    uint64_t bytes;
    uint64_t file_offset;
    const atomic_bool *halt;    /* when set: submit no more, wait for what is in flight, return */
    _Atomic uint64_t *progress; /* bytes completed so far */
};

enum engine_error {
    ENGINE_OK,
    ENGINE_REFUSED,   /* a write without allow_write */
    ENGINE_SUBMIT,    /* io_submit failed with errnum */
    ENGINE_EAGAIN,    /* io_submit returned EAGAIN for ENGINE_EAGAIN_LIMIT_NS */
    ENGINE_GETEVENTS, /* io_getevents failed with errnum */
    ENGINE_FAILED,    /* a request failed with errnum */
    ENGINE_SHORT,     /* a request moved too few bytes, `moved`; a removed drive gives 0 */
};

/* The counts of engine_run(). They accumulate over runs until the owner clears them; finish_ns and
 * the error are those of the last run. */
struct engine_stats {
    uint64_t requests, submits, reaps, bytes;
    uint64_t finish_ns; /* when the thread had its last completion, read by the thread itself */
    struct hist latency;
    enum engine_error error; /* the first of the run */
    int errnum;
    uint64_t offset, length, moved; /* of the failed request; offset in the target */
};

/* Returns 0, -ENOMEM or the error of io_setup (-EAGAIN: fs.aio-max-nr is used up). */
int engine_create(unsigned depth, struct engine **ret);

/* Waits for an RCU grace period (3 to 30 ms), so reuse engines where possible. NULL is allowed. */
void engine_destroy(struct engine *engine);

unsigned engine_depth(const struct engine *engine);
void engine_set_eagain_limit(struct engine *engine, uint64_t limit_ns); /* for tests */

/*
 * Moves the share. On return nothing is in flight. stats->error is ENGINE_OK on success; if
 * stats->bytes then grew by less than job->bytes, the run was halted.
 */
void engine_run(struct engine *engine, const struct engine_job *job, struct engine_stats *stats);

#endif
