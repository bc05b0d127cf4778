/* The threads of a team, and the tasks that they do; team.c alone uses them. */
#ifndef AIO_SWEEP_WORKERS_H
#define AIO_SWEEP_WORKERS_H

#include "io/pool.h"
#include "io/team.h"

#include <pthread.h>

enum task {
    TASK_RUN,  /* the job */
    TASK_TAKE, /* find or create an engine for the key */
    TASK_TRIM, /* destroy the engines but the one in use */
    TASK_QUIT,
};

struct worker {
    /* Incremented to start the thread. A futex word for each thread, so that a transfer of 2
     * threads wakes 2, and a cache line for each word. */
    _Alignas(64) _Atomic uint32_t go;
    unsigned index;
    struct engine_key key; /* for TASK_TAKE */
    int result;
    struct team *team;
    pthread_t thread;
    struct pool pool;
    struct engine *engine; /* from the pool, for this transfer */
    struct engine_job job;
    _Alignas(64) _Atomic uint64_t progress;
    struct engine_stats stats;
};

/* The next block of a group, which its threads take in turn. */
struct cursor {
    _Alignas(64) _Atomic uint64_t next;
};

struct team {
    struct worker *workers[TEAM_MAX_THREADS];
    unsigned created, active;
    uint32_t groups;
    struct plan plan; /* of the transfer; that of the caller may change */
    /* The task of the first `called` workers. */
    enum task task;
    unsigned called;
    bool may_tree, tree; /* each woken thread wakes others */
    uint64_t kept;
    int done_fd;
    atomic_bool halt;
    _Alignas(64) atomic_uint remaining;
    struct cursor cursors[TEAM_MAX_GROUPS];
};

/* Starts one more thread. Returns 0, or -1 with FAULT_SYSTEM. */
int workers_add(struct team *team, struct fault *fault);

/* Gives the first `count` threads a task. */
void workers_call(struct team *team, enum task task, unsigned count);

/* Waits until all threads have done their task. */
void workers_wait(struct team *team);

#endif
