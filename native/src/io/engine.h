/*
 * One thread's Linux AIO: an io_context of an exact depth, and the loop that moves one share of a
 * transfer through it.
 *
 * The semantics are those of DeepSpeed's aio_handle, because that is what is being predicted. No
 * stdio, and nothing is allocated while bytes move.
 */
#ifndef AIO_SWEEP_ENGINE_H
#define AIO_SWEEP_ENGINE_H

#include "clock.h"
#include "io/hist.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* io_submit may say EAGAIN when the kernel is short of memory; after this long with nothing in
 * flight it is an error. */
#define ENGINE_EAGAIN_LIMIT_NS (10 * NS_PER_S)

struct engine;

/* One share: bytes [position, position + bytes) of the buffer go to or come from file_offset +
 * position. */
struct engine_job {
    int fd;
    bool write;
    bool allow_write; /* without it a write is refused in the function that submits */
    bool overlap;     /* refill as completions arrive, else submit a queue and wait for all of it */
    bool single;      /* one iocb per io_submit */
    uint32_t block_size;
    char *buffer;
    uint64_t position;
    uint64_t bytes;
    uint64_t file_offset;
    const atomic_bool *halt; /* set by others: submit no more, wait for what is in flight, return */
    _Atomic uint64_t *progress; /* advanced by what has been completed */
};

enum engine_error {
    ENGINE_OK,
    ENGINE_REFUSED,   /* a write without allow_write */
    ENGINE_SUBMIT,    /* io_submit failed with errnum */
    ENGINE_EAGAIN,    /* io_submit said EAGAIN for ENGINE_EAGAIN_LIMIT_NS */
    ENGINE_GETEVENTS, /* io_getevents failed with errnum */
    ENGINE_FAILED,    /* a request failed with errnum */
    ENGINE_SHORT, /* a request moved fewer bytes than it should, `moved`; 0 is what a removed drive
                     says */
};

/* What one run did; cumulative over runs until the owner clears it, but for finish_ns and the
 * trouble. */
struct engine_stats {
    uint64_t requests, submits, reaps, bytes;
    uint64_t finish_ns; /* taken by the thread itself after its last reap */
    struct hist latency;
    enum engine_error error; /* the first */
    int errnum;
    uint64_t offset, length, moved; /* of the request in trouble; offset in the target */
};

/* Returns 0, -ENOMEM or what io_setup said (-EAGAIN: fs.aio-max-nr is used up). */
int engine_create(unsigned depth, struct engine **ret);

/* Waits for an RCU grace period (3 to 30 ms): keep engines rather than make them anew. NULL is
 * fine. */
void engine_destroy(struct engine *engine);

unsigned engine_depth(const struct engine *engine);
void engine_set_eagain_limit(struct engine *engine, uint64_t limit_ns); /* for tests */

/*
 * Moves the share. On return nothing is in flight, whatever happened; stats->error says whether
 * it went well, and a stats that grew by less than job->bytes without trouble means that it was
 * halted.
 */
void engine_run(struct engine *engine, const struct engine_job *job, struct engine_stats *stats);

#endif
