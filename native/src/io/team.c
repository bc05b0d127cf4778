#include "io/team.h"

#include "io/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_WORKERS 64
#define STACK_BYTES (256 * 1024)

struct worker {
    /* Incremented to start the thread. A futex word for each thread, so that a transfer of 2
     * threads wakes 2, and a cache line for each word. */
    _Alignas(64) _Atomic uint32_t go;
    bool quit;
    struct team *team;
    pthread_t thread;
    struct pool pool;
    struct engine *engine; /* from the pool, for this transfer */
    struct engine_job job;
    _Alignas(64) _Atomic uint64_t progress;
    struct engine_stats stats;
};

struct team {
    struct worker *workers[MAX_WORKERS];
    unsigned created, active;
    int done_fd;
    atomic_bool halt;
    _Alignas(64) atomic_uint remaining;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    struct team *team = worker->team;
    uint32_t seen = 0;

    for (;;) {
        uint32_t go;

        while ((go = atomic_load_explicit(&worker->go, memory_order_acquire)) == seen)
            futex_wait(&worker->go, seen);
        seen = go;
        if (worker->quit)
            break;
        engine_run(worker->engine, &worker->job, &worker->stats);
        if (worker->stats.error != ENGINE_OK)
            atomic_store(&team->halt, true);
        if (atomic_fetch_sub(&team->remaining, 1) == 1)
            (void)eventfd_write(team->done_fd, 1);
    }
    /* In the thread, because each io_destroy() waits for a grace period: the threads wait in
     * parallel. */
    (void)pool_trim(&worker->pool, 0);
    return NULL;
}

static void wake(struct worker *worker)
{
    (void)atomic_fetch_add_explicit(&worker->go, 1, memory_order_release);
    futex_wake(&worker->go);
}

int team_create(struct team **ret, struct fault *fault)
{
    struct team *team = NULL;

    if (posix_memalign((void **)&team, 64, sizeof(*team)) != 0)
        return fault_set(fault, FAULT_SYSTEM, "memory", ENOMEM,
                         "threads: out of memory; free some memory");
    memset(team, 0, sizeof(*team));
    team->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (team->done_fd < 0) {
        fault_set(fault, FAULT_SYSTEM, "eventfd", errno, "eventfd: cannot be created: %s",
                  strerror(errno));
        free(team);
        return -1;
    }
    *ret = team;
    return 0;
}

void team_destroy(struct team *team)
{
    if (!team)
        return;
    for (unsigned i = 0; i < team->created; i++) {
        team->workers[i]->quit = true;
        wake(team->workers[i]);
    }
    for (unsigned i = 0; i < team->created; i++) {
        (void)pthread_join(team->workers[i]->thread, NULL);
        free(team->workers[i]);
    }
    (void)close(team->done_fd);
    free(team);
}

static int add_worker(struct team *team, struct fault *fault)
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

static uint64_t read_limit(const char *path)
{
    FILE *file = fopen(path, "re");
    uint64_t value = 0;

    if (!file)
        return 0;
    if (fscanf(file, "%" SCNu64, &value) != 1)
        value = 0;
    (void)fclose(file);
    return value;
}

static int setup_fault(struct fault *fault, int errnum, unsigned depth, unsigned threads)
{
    if (errnum == EAGAIN)
        return fault_set(fault, FAULT_SYSTEM, "io_setup", errnum,
                         "io_setup(%u) for %u threads: no AIO events left on this system: "
                         "fs.aio-nr is %" PRIu64 ", fs.aio-max-nr is %" PRIu64
                         "; raise the limit with sysctl fs.aio-max-nr=N",
                         depth, threads, read_limit("/proc/sys/fs/aio-nr"),
                         read_limit("/proc/sys/fs/aio-max-nr"));
    return fault_set(fault, FAULT_SYSTEM, "io_setup", errnum, "io_setup(%u) for %u threads: %s",
                     depth, threads, strerror(errnum));
}

/* Destroys the engines that this transfer does not need. Returns true if it destroyed any. */
static bool trim_pools(struct team *team, unsigned depth)
{
    bool any = false;

    for (unsigned i = 0; i < team->created; i++)
        any |= pool_trim(&team->workers[i]->pool, i < team->active ? depth : 0);
    return any;
}

static int choose_engine(struct team *team, struct worker *worker, unsigned depth)
{
    int r = pool_take(&worker->pool, depth, &worker->engine);

    if (r == -EAGAIN && trim_pools(team, depth))
        r = pool_take(&worker->pool, depth, &worker->engine);
    return r;
}

int team_prepare(struct team *team, unsigned threads, unsigned depth, struct fault *fault)
{
    team->active = threads;
    while (team->created < threads)
        if (add_worker(team, fault) < 0)
            return -1;
    for (unsigned i = 0; i < threads; i++) {
        int r = choose_engine(team, team->workers[i], depth);

        if (r < 0)
            return setup_fault(fault, -r, depth, threads);
        memset(&team->workers[i]->stats, 0, sizeof(team->workers[i]->stats));
        atomic_store(&team->workers[i]->progress, 0);
    }
    return 0;
}

uint64_t team_start(struct team *team, const struct transfer *transfer)
{
    uint64_t start_ns;

    for (unsigned i = 0; i < transfer->threads; i++) {
        struct worker *worker = team->workers[i];
        uint64_t first = transfer->bytes / transfer->threads * i;

        worker->job = (struct engine_job){
            .fd = transfer->fd,
            .write = transfer->write,
            .allow_write = transfer->allow_write,
            .overlap = transfer->overlap,
            .single = transfer->single,
            .block_size = transfer->block_size,
            .buffer = transfer->buffer,
            .position = first,
            .bytes = transfer->bytes / transfer->threads,
            .file_offset = transfer->file_offset,
            .halt = &team->halt,
            .progress = &worker->progress,
        };
        atomic_store_explicit(&worker->progress, 0, memory_order_relaxed);
    }
    atomic_store(&team->halt, false);
    atomic_store(&team->remaining, transfer->threads);
    start_ns = clock_now_ns();
    for (unsigned i = 0; i < transfer->threads; i++)
        wake(team->workers[i]);
    return start_ns;
}

int team_done_fd(const struct team *team)
{
    return team->done_fd;
}

bool team_collect(struct team *team, uint64_t *ret_finish_ns)
{
    eventfd_t value;
    uint64_t finish_ns = 0;

    (void)eventfd_read(team->done_fd, &value);
    if (atomic_load(&team->remaining) != 0)
        return false;
    for (unsigned i = 0; i < team->active; i++)
        if (team->workers[i]->stats.finish_ns > finish_ns)
            finish_ns = team->workers[i]->stats.finish_ns;
    *ret_finish_ns = finish_ns;
    return true;
}

void team_halt(struct team *team)
{
    atomic_store(&team->halt, true);
}

uint64_t team_progress(const struct team *team)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < team->active; i++)
        bytes += atomic_load_explicit(&team->workers[i]->progress, memory_order_relaxed);
    return bytes;
}

const struct engine_stats *team_error(const struct team *team)
{
    for (unsigned i = 0; i < team->active; i++)
        if (team->workers[i]->stats.error != ENGINE_OK)
            return &team->workers[i]->stats;
    return NULL;
}

void team_sum(const struct team *team, struct engine_stats *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; i < team->active; i++) {
        const struct engine_stats *stats = &team->workers[i]->stats;

        ret->requests += stats->requests;
        ret->submits += stats->submits;
        ret->reaps += stats->reaps;
        ret->bytes += stats->bytes;
        if (stats->finish_ns > ret->finish_ns)
            ret->finish_ns = stats->finish_ns;
        hist_merge(&ret->latency, &stats->latency);
    }
}
