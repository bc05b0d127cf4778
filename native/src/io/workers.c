#include "io/workers.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_BYTES (256 * 1024)

/* How many others a woken thread wakes in a tree. */
#define FAN_OUT 4

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(struct worker *worker)
{
    (void)atomic_fetch_add_explicit(&worker->go, 1, memory_order_release);
    (void)syscall(SYS_futex, &worker->go, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void wake_range(struct team *team, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count && i < team->called; i++)
        wake(team->workers[i]);
}

void workers_call(struct team *team, enum task task, unsigned count)
{
    team->task = task;
    team->called = count;
    team->tree = team->may_tree && count > TEAM_MAX_QUEUES;
    atomic_store(&team->remaining, count);
    wake_range(team, 0, team->tree ? FAN_OUT : count);
}

void workers_wait(struct team *team)
{
    struct pollfd done = {.fd = team->done_fd, .events = POLLIN};
    eventfd_t value;

    /* The value may still be that of the call before. */
    while (atomic_load(&team->remaining) != 0) {
        (void)poll(&done, 1, -1);
        (void)eventfd_read(team->done_fd, &value);
    }
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    struct team *team = worker->team;
    uint32_t seen = 0;
    enum task task;

    do {
        while (atomic_load_explicit(&worker->go, memory_order_acquire) == seen)
            futex_wait(&worker->go, seen);
        seen++;
        task = team->task;
        if (team->tree)
            wake_range(team, FAN_OUT * (worker->index + 1), FAN_OUT);
        if (task == TASK_RUN) {
            engine_run(worker->engine, &worker->job, &worker->stats);
            if (worker->stats.error != ENGINE_OK)
                atomic_store(&team->halt, true);
        } else if (task == TASK_TAKE) {
            worker->engine = NULL;
            worker->result = pool_take(&worker->pool, &worker->key, team->kept, &worker->engine);
        } else {
            /* In the thread, because each io_destroy() waits for a grace period: the threads wait
             * in parallel. */
            pool_trim(&worker->pool, task == TASK_TRIM ? worker->engine : NULL);
        }
        if (atomic_fetch_sub(&team->remaining, 1) == 1)
            (void)eventfd_write(team->done_fd, 1);
    } while (task != TASK_QUIT);
    return NULL;
}

int workers_add(struct team *team, struct fault *fault)
{
    struct worker *worker = NULL;
    pthread_attr_t attributes;
    char name[16];
    int r;

    if (posix_memalign((void **)&worker, 64, sizeof(*worker)) != 0)
        return fault_set(fault, FAULT_SYSTEM, "memory", ENOMEM,
                         "threads: out of memory; free some memory");
    memset(worker, 0, sizeof(*worker));
    worker->team = team;
    worker->index = team->created;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    r = pthread_create(&worker->thread, &attributes, run_worker, worker);
    (void)pthread_attr_destroy(&attributes);
    if (r != 0) {
        free(worker);
        return fault_set(fault, FAULT_SYSTEM, "threads", r,
                         "thread %u: cannot start: %s; raise TasksMax= of the unit or ulimit -u",
                         team->created + 1, strerror(r));
    }
    (void)snprintf(name, sizeof(name), "aio-sweep/%u", team->created);
    (void)pthread_setname_np(worker->thread, name);
    team->workers[team->created++] = worker;
    return 0;
}
