/*
 * The threads that move a transfer. They are made when first needed and stay for the life of the
 * process, each with its own engines, so that a transfer begins with one wake-up a thread and
 * nothing else.
 */
#ifndef AIO_SWEEP_TEAM_H
#define AIO_SWEEP_TEAM_H

#include "io/engine.h"
#include "protocol/fault.h"

struct team;

/* One transfer: bytes [0, bytes) of the buffer to or from file_offset, thread t of T moving [t*N/T,
 * (t+1)*N/T). */
struct transfer {
    int fd;
    bool write, allow_write, overlap, single;
    uint32_t block_size, queue_depth, threads;
    char *buffer;
    uint64_t bytes, file_offset;
};

int team_create(struct team **ret, struct fault *fault);

/* Ends the threads and destroys their contexts. NULL is fine. Nothing may be in progress. */
void team_destroy(struct team *team);

/* Makes sure of `threads` threads with an engine of that depth each; afterwards their tallies are
 * clear. */
int team_prepare(struct team *team, unsigned threads, unsigned depth, struct fault *fault);

/* Lets the threads go, after team_prepare() with the same numbers. Returns the time just before the
 * first went. */
uint64_t team_start(struct team *team, const struct transfer *transfer);

/* A descriptor that becomes readable when the last thread has finished; then team_collect() must be
 * called. */
int team_done_fd(const struct team *team);

/* True, and the time when the last finished, once all have. False if woken for nothing. */
bool team_collect(struct team *team, uint64_t *ret_finish_ns);

/* From any time on: submit no more, finish what is in flight. Holds until the next release. */
void team_halt(struct team *team);

/* Bytes of the transfer in progress that have been completed. */
uint64_t team_progress(const struct team *team);

/* The trouble of the lowest thread that has any, in the last transfer; NULL if it went well. */
const struct engine_stats *team_error(const struct team *team);

/* Sums up the tallies since team_prepare(). */
void team_sum(const struct team *team, struct engine_stats *ret);

#endif
