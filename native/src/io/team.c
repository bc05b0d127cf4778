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

#define MAX_MEMBERS 64
#define STACK_BYTES (256 * 1024)

struct member {
    /* Bumped to let this thread go. A word of its own in a cache line of its own: a transfer of 2
     * threads wakes 2. */
    _Alignas(64) _Atomic uint32_t go;
    bool quit;
    struct team *team;
    pthread_t thread;
    struct pool pool;
    struct engine *engine; /* of the pool, for this transfer */
    struct engine_job job;
    _Alignas(64) _Atomic uint64_t progress;
    struct engine_tally tally;
};

struct team {
    struct member *members[MAX_MEMBERS];
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

static void *work(void *argument)
{
    struct member *member = argument;
    struct team *team = member->team;
    uint32_t seen = 0;

    for (;;) {
        uint32_t go;

        while ((go = atomic_load_explicit(&member->go, memory_order_acquire)) == seen)
            futex_wait(&member->go, seen);
        seen = go;
        if (member->quit)
            break;
        engine_run(member->engine, &member->job, &member->tally);
        if (member->tally.trouble != ENGINE_FINE)
            atomic_store(&team->halt, true);
        if (atomic_fetch_sub(&team->remaining, 1) == 1)
            (void)eventfd_write(team->done_fd, 1);
    }
    /* Here, not in the caller: each io_destroy() waits for a grace period, and those of many
     * threads pass together. */
    (void)pool_forget(&member->pool, 0);
    return NULL;
}

static void wake(struct member *member)
{
    (void)atomic_fetch_add_explicit(&member->go, 1, memory_order_release);
    futex_wake(&member->go);
}

int team_create(struct team **ret, struct fault *fault)
{
    struct team *team = NULL;

    if (posix_memalign((void **)&team, 64, sizeof(*team)) != 0)
        return fault_set(fault, FAULT_SYSTEM, "memory", ENOMEM, "no memory for the threads");
    memset(team, 0, sizeof(*team));
    team->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (team->done_fd < 0) {
        fault_set(fault, FAULT_SYSTEM, "eventfd", errno, "cannot make an eventfd: %s",
                  strerror(errno));
        free(team);
        return -1;
    }
    *ret = team;
    return 0;
}

void team_dissolve(struct team *team)
{
    if (!team)
        return;
    for (unsigned i = 0; i < team->created; i++) {
        team->members[i]->quit = true;
        wake(team->members[i]);
    }
    for (unsigned i = 0; i < team->created; i++) {
        (void)pthread_join(team->members[i]->thread, NULL);
        free(team->members[i]);
    }
    (void)close(team->done_fd);
    free(team);
}

static int add_member(struct team *team, struct fault *fault)
{
    struct member *member = NULL;
    pthread_attr_t attributes;
    char name[16];
    int r;

    if (posix_memalign((void **)&member, 64, sizeof(*member)) != 0)
        return fault_set(fault, FAULT_SYSTEM, "memory", ENOMEM, "no memory for a thread");
    memset(member, 0, sizeof(*member));
    member->team = team;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    r = pthread_create(&member->thread, &attributes, work, member);
    (void)pthread_attr_destroy(&attributes);
    if (r != 0) {
        free(member);
        return fault_set(fault, FAULT_SYSTEM, "threads", r,
                         "cannot start thread %u: %s; see TasksMax of the unit and ulimit -u",
                         team->created + 1, strerror(r));
    }
    (void)snprintf(name, sizeof(name), "aio-sweep/%u", team->created);
    (void)pthread_setname_np(member->thread, name);
    team->members[team->created++] = member;
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
                         "io_setup(%u) for %u threads: the system's AIO slots are used up: "
                         "fs.aio-nr is %" PRIu64 ", fs.aio-max-nr is %" PRIu64
                         "; raise it with sysctl fs.aio-max-nr=N",
                         depth, threads, read_limit("/proc/sys/fs/aio-nr"),
                         read_limit("/proc/sys/fs/aio-max-nr"));
    return fault_set(fault, FAULT_SYSTEM, "io_setup", errnum, "io_setup(%u) for %u threads: %s",
                     depth, threads, strerror(errnum));
}

/* Gives back all contexts that this transfer does not need. True if there were any. */
static bool forget_engines(struct team *team, unsigned depth)
{
    bool any = false;

    for (unsigned i = 0; i < team->created; i++)
        any |= pool_forget(&team->members[i]->pool, i < team->active ? depth : 0);
    return any;
}

static int choose_engine(struct team *team, struct member *member, unsigned depth)
{
    int r = pool_take(&member->pool, depth, &member->engine);

    if (r == -EAGAIN && forget_engines(team, depth))
        r = pool_take(&member->pool, depth, &member->engine);
    return r;
}

int team_prepare(struct team *team, unsigned threads, unsigned depth, struct fault *fault)
{
    team->active = threads;
    while (team->created < threads)
        if (add_member(team, fault) < 0)
            return -1;
    for (unsigned i = 0; i < threads; i++) {
        int r = choose_engine(team, team->members[i], depth);

        if (r < 0)
            return setup_fault(fault, -r, depth, threads);
        memset(&team->members[i]->tally, 0, sizeof(team->members[i]->tally));
        atomic_store(&team->members[i]->progress, 0);
    }
    return 0;
}

uint64_t team_release(struct team *team, const struct transfer *transfer)
{
    uint64_t start_ns;

    for (unsigned i = 0; i < transfer->threads; i++) {
        struct member *member = team->members[i];
        uint64_t first = transfer->bytes / transfer->threads * i;

        member->job = (struct engine_job){
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
            .progress = &member->progress,
        };
        atomic_store_explicit(&member->progress, 0, memory_order_relaxed);
    }
    atomic_store(&team->halt, false);
    atomic_store(&team->remaining, transfer->threads);
    start_ns = clock_now_ns();
    for (unsigned i = 0; i < transfer->threads; i++)
        wake(team->members[i]);
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
        if (team->members[i]->tally.finish_ns > finish_ns)
            finish_ns = team->members[i]->tally.finish_ns;
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
        bytes += atomic_load_explicit(&team->members[i]->progress, memory_order_relaxed);
    return bytes;
}

const struct engine_tally *team_trouble(const struct team *team)
{
    for (unsigned i = 0; i < team->active; i++)
        if (team->members[i]->tally.trouble != ENGINE_FINE)
            return &team->members[i]->tally;
    return NULL;
}

void team_sum(const struct team *team, struct engine_tally *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (unsigned i = 0; i < team->active; i++) {
        const struct engine_tally *tally = &team->members[i]->tally;

        ret->requests += tally->requests;
        ret->submits += tally->submits;
        ret->reaps += tally->reaps;
        ret->bytes += tally->bytes;
        if (tally->finish_ns > ret->finish_ns)
            ret->finish_ns = tally->finish_ns;
        hist_merge(&ret->latency, &tally->latency);
    }
}
