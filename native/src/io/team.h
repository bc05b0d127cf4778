/*
 * The worker threads of a transfer. They are created on first use and kept until the end of the
 * process, each with its own engines, so that a transfer starts with one wake-up for each thread.
 */
#ifndef AIO_SWEEP_TEAM_H
#define AIO_SWEEP_TEAM_H

#include "io/engine.h"
#include "protocol/fault.h"

#define TEAM_MAX_THREADS 512 /* with psync; TEAM_MAX_QUEUES with the others */
#define TEAM_MAX_QUEUES  64
#define TEAM_MAX_GROUPS  16

/* On 2 processors, 512 threads that each read 4 KiB from memory take 4.7 ms if the main thread
 * wakes them, and 5.6 ms if each wakes four others, because those run first. Where processors are
 * idle the wake-ups of a tree run side by side. */
#define TEAM_TREE_PROCESSORS 8

struct team;

/*
 * One transfer. Group g of G moves part g of it by its own descriptor, and thread t of the T of a
 * group moves part t of that; with psync the threads of a group take its blocks in turn. Parts are
 * equal, at random in whole blocks.
 */
struct transfer {
    enum engine_kind engine;
    bool registered; /* memory and file, with io_uring */
    bool allow_write, overlap, single;
    uint32_t queue_depth, threads, groups; /* threads: of a group */
    const int *fds;                        /* one for each group */
    uint64_t bytes;
    struct plan plan;
};

/* Returns 0, or -1 with FAULT_SYSTEM. */
int team_create(struct team **ret, struct fault *fault);

/* Lets woken threads wake others, if there are more than TEAM_MAX_QUEUES; for tests. By default
 * with TEAM_TREE_PROCESSORS. Up to 64 threads are woken one after another, as by DeepSpeed. */
void team_let_tree(struct team *team, bool may_tree);

/* Ends the threads and destroys their engines. No transfer may be in progress. NULL is allowed. */
void team_destroy(struct team *team);

/* Prepares the threads of a transfer with an engine each, and clears their statistics. Returns 0,
 * or -1 with FAULT_SYSTEM. */
int team_prepare(struct team *team, const struct transfer *transfer, struct fault *fault);

/* Starts the threads; call team_prepare() with the same transfer first, except for its places.
 * Returns the time just before the first wake-up. */
uint64_t team_start(struct team *team, const struct transfer *transfer);

/* Returns a descriptor that is readable after the last thread has finished; then call
 * team_collect(). */
int team_done_fd(const struct team *team);

/* Returns true with the time at which the last thread of each group finished, false while threads
 * run. */
bool team_collect(struct team *team, uint64_t ret_finish_ns[static TEAM_MAX_GROUPS]);

/* Stops the threads from submitting until the next start; requests in flight complete. */
void team_halt(struct team *team);

/* Returns the completed bytes of the transfer in progress. */
uint64_t team_progress(const struct team *team);

/* Returns the bytes that the last transfer wrote. */
uint64_t team_written(const struct team *team);

/* Returns the statistics of the first thread with an error in the last transfer, or NULL. */
const struct engine_stats *team_error(const struct team *team);

/* Sums the counts and latencies of all threads since team_prepare(). */
void team_sum(const struct team *team, struct engine_stats *ret);

#endif
