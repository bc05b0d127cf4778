/*
 * Linux AIO of one thread: an io_context of exactly the queue depth, and the loop that submits and
 * reaps one share of a transfer.
 *
 * The order of the calls is that of DeepSpeed's aio_handle, whose throughput the sweep predicts.
 * The loop neither uses stdio nor allocates.
 */
#ifndef AIO_SWEEP_ENGINE_H
#define AIO_SWEEP_ENGINE_H

#include "clock.h"
#include "io/hist.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* io_submit may return EAGAIN while the kernel is short of memory. With nothing in flight for this
 * long, it is an error. */
#define ENGINE_EAGAIN_LIMIT_NS (10 * NS_PER_S)

struct engine;

/* The share of one thread: bytes [position, position + bytes) of the buffer, at offset
 * file_offset + position of the target. */
struct engine_job {
    int fd;
    bool write;
    bool allow_write; /* false: refuse a write just before io_submit */
    bool overlap;     /* refill the queue as completions arrive; else wait for the whole queue */
    bool single;      /* one iocb per io_submit */
    uint32_t block_size;
    char *buffer;
    uint64_t position;
    uint64_t bytes;
    uint64_t file_offset;
    const atomic_bool *halt;    /* if set: submit no more, reap the requests in flight, return */
    _Atomic uint64_t *progress; /* bytes completed so far */
};

enum engine_error {
    ENGINE_OK,
    ENGINE_REFUSED,   /* a write without allow_write */
    ENGINE_SUBMIT,    /* io_submit failed with errnum */
    ENGINE_EAGAIN,    /* io_submit returned EAGAIN for ENGINE_EAGAIN_LIMIT_NS */
    ENGINE_GETEVENTS, /* io_getevents failed with errnum */
    ENGINE_FAILED,    /* a request failed with errnum */
    ENGINE_SHORT,     /* a request moved only `moved` bytes; 0: removed drive */
};

/* The counts of engine_run() accumulate until the owner clears them; finish_ns and the error are
 * those of the last run. */
struct engine_stats {
    uint64_t requests, submits, reaps, bytes;
    uint64_t finish_ns; /* time of the last completion, taken in the thread */
    struct hist latency;
    enum engine_error error; /* the first of the run */
    int errnum;
    uint64_t offset, length, moved; /* of the failed request; offset in the target */
};

/* Returns 0, -ENOMEM or the error of io_setup (-EAGAIN: fs.aio-max-nr reached). */
int engine_create(unsigned depth, struct engine **ret);

/* Waits for an RCU grace period (3 to 30 ms), so callers reuse engines. NULL is allowed. */
void engine_destroy(struct engine *engine);

unsigned engine_depth(const struct engine *engine);
void engine_set_eagain_limit(struct engine *engine, uint64_t limit_ns); /* for tests */

/*
 * Reads or writes the share. On return nothing is in flight. If stats->error is ENGINE_OK and
 * stats->bytes grew by less than job->bytes, the run was halted.
 */
void engine_run(struct engine *engine, const struct engine_job *job, struct engine_stats *stats);

#endif
