/*
 * The worker threads of a transfer. They are created on first use and kept until the end of the
 * process, each with its own engines, so that a transfer starts with one wake-up for each thread.
 */
#ifndef AIO_SWEEP_TEAM_H
#define AIO_SWEEP_TEAM_H

#include "io/engine.h"
#include "protocol/fault.h"

struct team;

/* One transfer of N bytes between [0, N) of the buffer and file_offset. Thread t of T moves
 * [t*N/T, (t+1)*N/T). */
struct transfer {
    int fd;
    bool write, allow_write, overlap, single;
    uint32_t block_size, queue_depth, threads;
    char *buffer;
    uint64_t bytes, file_offset;
};

/* Returns 0, or -1 with FAULT_SYSTEM. */
int team_create(struct team **ret, struct fault *fault);

/* Ends the threads and destroys their engines. No transfer may be in progress. NULL is allowed. */
void team_destroy(struct team *team);

/* Prepares `threads` threads with an engine of that queue depth each, and clears their statistics.
 * Returns 0, or -1 with FAULT_SYSTEM. */
int team_prepare(struct team *team, unsigned threads, unsigned depth, struct fault *fault);

/* Starts the threads; call team_prepare() with the same numbers first. Returns the time just before
 * the first wake-up. */
uint64_t team_start(struct team *team, const struct transfer *transfer);

/* Returns a descriptor that is readable after the last thread has finished; then call
 * team_collect(). */
int team_done_fd(const struct team *team);

/* Returns true with the time at which the last thread finished, false while threads run. */
bool team_collect(struct team *team, uint64_t *ret_finish_ns);

/* Stops the threads from submitting until the next start; requests in flight complete. */
void team_halt(struct team *team);

/* Returns the completed bytes of the transfer in progress. */
uint64_t team_progress(const struct team *team);

/* Returns the statistics of the first thread with an error in the last transfer, or NULL. */
const struct engine_stats *team_error(const struct team *team);

/* Sums the statistics of all threads since team_prepare(). */
void team_sum(const struct team *team, struct engine_stats *ret);

#endif
