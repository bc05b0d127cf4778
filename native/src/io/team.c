#include "io/team.h"

#include "io/workers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Part of fs.aio-max-nr that is kept for engines which are not in use. */
#define KEPT_PART 8

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
    team->may_tree = sysconf(_SC_NPROCESSORS_ONLN) >= TEAM_TREE_PROCESSORS;
    *ret = team;
    return 0;
}

void team_let_tree(struct team *team, bool may_tree)
{
    team->may_tree = may_tree;
}

void team_destroy(struct team *team)
{
    if (!team)
        return;
    if (team->created > 0)
        workers_call(team, TASK_QUIT, team->created);
    for (unsigned i = 0; i < team->created; i++)
        (void)pthread_join(team->workers[i]->thread, NULL);
    for (unsigned i = 0; i < team->created; i++)
        free(team->workers[i]);
    (void)close(team->done_fd);
    free(team);
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

static int setup_fault(struct fault *fault, int errnum, const struct engine_key *key,
                       unsigned threads)
{
    const char *call_name = engine_calls(key->kind)->setup;

    if (errnum == EAGAIN && key->kind == ENGINE_LIBAIO)
        return fault_set(fault, FAULT_SYSTEM, call_name, errnum,
                         "io_setup(%u) for %u threads: no AIO events left on this system: "
                         "fs.aio-nr is %" PRIu64 ", fs.aio-max-nr is %" PRIu64
                         "; raise the limit with sysctl fs.aio-max-nr=N",
                         key->depth, threads, read_limit("/proc/sys/fs/aio-nr"),
                         read_limit("/proc/sys/fs/aio-max-nr"));
    if (errnum == EMFILE)
        return fault_set(fault, FAULT_SYSTEM, call_name, errnum,
                         "%s(%u) for %u threads: %s; raise ulimit -n", call_name, key->depth,
                         threads, strerror(errnum));
    if (errnum == ENOMEM)
        return fault_set(fault, FAULT_SYSTEM, call_name, errnum,
                         "%s(%u) for %u threads: %s; free some memory, or raise ulimit -l",
                         call_name, key->depth, threads, strerror(errnum));
    return fault_set(fault, FAULT_SYSTEM, call_name, errnum, "%s(%u) for %u threads: %s", call_name,
                     key->depth, threads, strerror(errnum));
}

/* Returns the first error of the threads that have no engine, or 0. */
static int take_engines(struct team *team)
{
    bool fit = true;

    for (unsigned i = 0; fit && i < team->active; i++)
        fit = team->workers[i]->engine &&
              engine_fits(team->workers[i]->engine, &team->workers[i]->key);
    if (fit)
        return 0;
    workers_call(team, TASK_TAKE, team->active);
    workers_wait(team);
    for (unsigned i = 0; i < team->active; i++)
        if (team->workers[i]->result < 0)
            return team->workers[i]->result;
    return 0;
}

/* Destroys the engines that this transfer does not need. */
static void trim(struct team *team)
{
    for (unsigned i = team->active; i < team->created; i++)
        team->workers[i]->engine = NULL;
    workers_call(team, TASK_TRIM, team->created);
    workers_wait(team);
}

int team_prepare(struct team *team, const struct transfer *transfer, struct fault *fault)
{
    unsigned threads = transfer->threads * transfer->groups;
    int r;

    while (team->created < threads)
        if (workers_add(team, fault) < 0)
            return -1;
    team->active = threads;
    team->groups = transfer->groups;
    for (unsigned i = 0; i < threads; i++) {
        struct engine_key *key = &team->workers[i]->key;

        *key = (struct engine_key){.kind = transfer->engine, .depth = transfer->queue_depth};
        if (transfer->registered) {
            key->fd = transfer->fds[i / transfer->threads];
            key->buffer = transfer->plan.buffer;
            key->bytes = transfer->bytes;
        }
    }
    team->kept = read_limit("/proc/sys/fs/aio-max-nr") / KEPT_PART /
                 (team->created < TEAM_MAX_QUEUES ? team->created : TEAM_MAX_QUEUES);
    r = take_engines(team);
    if (r == -EAGAIN || r == -ENOMEM || r == -EMFILE) {
        trim(team);
        r = take_engines(team);
    }
    if (r < 0)
        return setup_fault(fault, -r, &team->workers[0]->key, threads);
    for (unsigned i = 0; i < threads; i++) {
        memset(&team->workers[i]->stats, 0, sizeof(team->workers[i]->stats));
        atomic_store(&team->workers[i]->progress, 0);
    }
    return 0;
}

/* Returns the start of part `index` of `count` of [start, end), in units of `unit` bytes. */
static uint64_t part(uint64_t start, uint64_t end, uint64_t unit, unsigned index, unsigned count)
{
    return start + (end - start) / unit * index / count * unit;
}

static struct walk make_walk(struct team *team, const struct transfer *transfer, unsigned group,
                             unsigned thread)
{
    uint64_t unit = transfer->plan.random ? transfer->plan.block_size : 1;
    uint64_t start = part(0, transfer->bytes, unit, group, transfer->groups);
    uint64_t end = part(0, transfer->bytes, unit, group + 1, transfer->groups);
    struct walk walk = {.plan = &team->plan, .start = start, .end = end};

    if (transfer->engine == ENGINE_PSYNC) {
        walk.shared = &team->cursors[group].next;
    } else {
        walk.start = part(start, end, unit, thread, transfer->threads);
        walk.end = part(start, end, unit, thread + 1, transfer->threads);
    }
    walk.first_block = team->plan.first_block + walk.start / transfer->plan.block_size;
    return walk;
}

uint64_t team_start(struct team *team, const struct transfer *transfer)
{
    uint64_t start_ns;

    team->plan = transfer->plan;
    for (unsigned group = 0; group < transfer->groups; group++) {
        atomic_store(&team->cursors[group].next, 0);
        for (unsigned thread = 0; thread < transfer->threads; thread++) {
            struct worker *worker = team->workers[group * transfer->threads + thread];

            worker->job = (struct engine_job){
                .fd = transfer->fds[group],
                .allow_write = transfer->allow_write,
                .overlap = transfer->overlap,
                .single = transfer->single,
                .walk = make_walk(team, transfer, group, thread),
                .halt = &team->halt,
                .progress = &worker->progress,
            };
            atomic_store_explicit(&worker->progress, 0, memory_order_relaxed);
        }
    }
    atomic_store(&team->halt, false);
    start_ns = clock_now_ns();
    workers_call(team, TASK_RUN, team->active);
    return start_ns;
}

int team_done_fd(const struct team *team)
{
    return team->done_fd;
}

bool team_collect(struct team *team, uint64_t ret_finish_ns[static TEAM_MAX_GROUPS])
{
    eventfd_t value;

    (void)eventfd_read(team->done_fd, &value);
    if (atomic_load(&team->remaining) != 0)
        return false;
    memset(ret_finish_ns, 0, TEAM_MAX_GROUPS * sizeof(*ret_finish_ns));
    for (unsigned i = 0; i < team->active; i++) {
        uint64_t *finish_ns = &ret_finish_ns[i / (team->active / team->groups)];

        if (team->workers[i]->stats.finish_ns > *finish_ns)
            *finish_ns = team->workers[i]->stats.finish_ns;
    }
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

uint64_t team_written(const struct team *team)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < team->active; i++)
        bytes += team->workers[i]->stats.written_bytes;
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
        ret->again += stats->again;
        hist_merge(&ret->latency, &stats->latency);
    }
}
