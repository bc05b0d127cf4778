/*
 * The worker threads that move a transfer. They are created when first needed and live as long as
 * the process, each with its own engines, so that a transfer starts with one wake-up per thread.
 */
#ifndef AIO_SWEEP_TEAM_H
#define AIO_SWEEP_TEAM_H

#include "io/engine.h"
#include "protocol/fault.h"

struct team;

/* One transfer of N bytes: [0, N) of the buffer to or from file_offset. Thread t of T moves
 * [t*N/T, (t+1)*N/T). */
struct transfer {
    int fd;
    bool write, allow_write, overlap, single;
    uint32_t block_size, queue_depth, threads;
    char *buffer;
    uint64_t bytes, file_offset;
};

int team_create(struct team **ret, struct fault *fault);

/* Ends the threads and destroys their engines. No transfer may be in progress. NULL is allowed. */
void team_destroy(struct team *team);

/* Gets `threads` threads ready with an engine of that depth each, and clears their statistics. */
int team_prepare(struct team *team, unsigned threads, unsigned depth, struct fault *fault);

/* Starts all threads, after team_prepare() with the same numbers. Returns the time just before the
 * first wake-up. */
uint64_t team_start(struct team *team, const struct transfer *transfer);

/* Returns a descriptor that becomes readable when the last thread has finished. Then call
 * team_collect(). */
int team_done_fd(const struct team *team);

/* Returns true and the time at which the last thread finished, or false if some still run. */
bool team_collect(struct team *team, uint64_t *ret_finish_ns);

/* Tells the threads to submit no more and finish what is in flight. Holds until the next start. */
void team_halt(struct team *team);

/* Returns the completed bytes of the transfer in progress. */
uint64_t team_progress(const struct team *team);

/* Returns the statistics of the first thread that failed in the last transfer, or NULL. */
const struct engine_stats *team_error(const struct team *team);

/* Sums the statistics of all threads since team_prepare(). */
void team_sum(const struct team *team, struct engine_stats *ret);

#endif
