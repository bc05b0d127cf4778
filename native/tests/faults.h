/*
 * Injects faults into the calls of the engines by the linker's --wrap, so that the tested code is
 * the code that ships. Without an armed fault the real function is called. With several threads,
 * only errors of a submission may be injected.
 */
#ifndef AIO_SWEEP_FAULTS_H
#define AIO_SWEEP_FAULTS_H

#include "check.h"

#include <errno.h>
#include <libaio.h>
#ifdef AIO_SWEEP_LIBURING
#include <liburing.h>
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum fault_kind {
    NO_FAULT,
    SUBMIT_ERROR,   /* value: the result of the submission, which submits nothing */
    SUBMIT_PARTIAL, /* accepts one of many */
    SETUP_ERROR,    /* value: the result of the setup */
    REAP_ERROR,     /* value: the result of the wait */
    RESULT,         /* value: the result of one request */
    RESULT2,        /* value: the res2 of one event of libaio */
    STUCK,          /* the wait for completions ends only after `stuck` is cleared */
};

static struct {
    enum fault_kind kind;
    long value;
    int after; /* calls or events before the first fault */
    int times; /* number of faults; -1: no limit */
} injected;
static pthread_mutex_t injected_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int submit_calls, setup_calls;
static atomic_bool stuck;

static int is_due(enum fault_kind kind)
{
    int yes = 0;

    (void)pthread_mutex_lock(&injected_lock);
    if (injected.kind == kind && injected.times != 0) {
        if (injected.after > 0) {
            injected.after--;
        } else {
            yes = 1;
            if (injected.times > 0)
                injected.times--;
        }
    }
    (void)pthread_mutex_unlock(&injected_lock);
    return yes;
}

static void wait_while_stuck(void)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    while (injected.kind == STUCK && atomic_load(&stuck))
        (void)nanosleep(&pause, NULL);
}

/* --- libaio ----------------------------------------------------------------------------------- */

int __real_io_setup(int depth, io_context_t *context);
int __real_io_submit(io_context_t context, long count, struct iocb *iocbs[]);
int __real_io_getevents(io_context_t context, long min_events, long count, struct io_event *events,
                        struct timespec *timeout);
int __wrap_io_setup(int depth, io_context_t *context);
int __wrap_io_submit(io_context_t context, long count, struct iocb *iocbs[]);
int __wrap_io_getevents(io_context_t context, long min_events, long count, struct io_event *events,
                        struct timespec *timeout);

int __wrap_io_setup(int depth, io_context_t *context)
{
    atomic_fetch_add(&setup_calls, 1);
    if (is_due(SETUP_ERROR))
        return (int)injected.value;
    return __real_io_setup(depth, context);
}

int __wrap_io_submit(io_context_t context, long count, struct iocb *iocbs[])
{
    atomic_fetch_add(&submit_calls, 1);
    if (is_due(SUBMIT_ERROR))
        return (int)injected.value;
    if (count > 1 && is_due(SUBMIT_PARTIAL))
        count = 1;
    return __real_io_submit(context, count, iocbs);
}

int __wrap_io_getevents(io_context_t context, long min_events, long count, struct io_event *events,
                        struct timespec *timeout)
{
    int n;

    /* With a timeout the overlap mode costs 6 to 11 % more CPU time. */
    CHECK(timeout == NULL);
    wait_while_stuck();
    if (is_due(REAP_ERROR))
        return (int)injected.value;
    n = __real_io_getevents(context, min_events, count, events, timeout);
    for (int i = 0; i < n; i++) {
        if (is_due(RESULT))
            events[i].res = (unsigned long)injected.value;
        if (is_due(RESULT2))
            events[i].res2 = (unsigned long)injected.value;
    }
    return n;
}

/* --- io_uring --------------------------------------------------------------------------------- */

#ifdef AIO_SWEEP_LIBURING

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __real_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait);

static unsigned examined;         /* completions of the ring, which tests of results use alone */
static unsigned refused_flags;    /* of the setup: EINVAL, as on an older kernel */
static unsigned missing_features; /* of the ring, as on an older kernel */

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
    int r;

    atomic_fetch_add(&setup_calls, 1);
    examined = 0;
    if (is_due(SETUP_ERROR))
        return (int)injected.value;
    if (params->flags & refused_flags)
        return -EINVAL;
    r = __real_io_uring_queue_init_params(entries, ring, params);
    params->features &= ~missing_features;
    return r;
}

static void change_results(struct io_uring *ring)
{
    while (injected.kind == RESULT && examined != io_uring_smp_load_acquire(ring->cq.ktail)) {
        /* ring_entries is newer than liburing 2.1, which Ubuntu 22.04 has. */
        struct io_uring_cqe *cqe = &ring->cq.cqes[examined++ & (2 * *ring->sq.kring_entries - 1)];

        if (is_due(RESULT))
            cqe->res = (int)injected.value;
    }
}

static int submit_one(struct io_uring *ring)
{
    io_uring_smp_store_release(ring->sq.ktail, ring->sq.sqe_tail);
    return (int)syscall(SYS_io_uring_enter, ring->ring_fd, 1, 0, 0, NULL, 0);
}

int __wrap_io_uring_submit_and_wait(struct io_uring *ring, unsigned wait)
{
    unsigned offered = io_uring_sq_ready(ring);
    int r;

    if (offered > 0)
        atomic_fetch_add(&submit_calls, 1);
    if (offered > 0 && is_due(SUBMIT_ERROR))
        return (int)injected.value;
    if (offered > 1 && is_due(SUBMIT_PARTIAL))
        return submit_one(ring);
    if (offered == 0 && is_due(REAP_ERROR))
        return (int)injected.value;
    /* The wait that is to fail must not be part of the submission. */
    if (offered > 0 && injected.kind == REAP_ERROR)
        wait = 0;
    r = __real_io_uring_submit_and_wait(ring, wait);
    wait_while_stuck();
    change_results(ring);
    return r;
}

#endif

/* --- psync ------------------------------------------------------------------------------------ */

ssize_t __real_pread(int fd, void *data, size_t length, off_t offset);
ssize_t __real_pwrite(int fd, const void *data, size_t length, off_t offset);
ssize_t __wrap_pread(int fd, void *data, size_t length, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *data, size_t length, off_t offset);

static int fails(ssize_t *ret)
{
    atomic_fetch_add(&submit_calls, 1);
    wait_while_stuck();
    if (!is_due(SUBMIT_ERROR) && !is_due(RESULT))
        return 0;
    *ret = injected.value;
    if (injected.value < 0) {
        errno = (int)-injected.value;
        *ret = -1;
    }
    return 1;
}

ssize_t __wrap_pread(int fd, void *data, size_t length, off_t offset)
{
    ssize_t n;

    return fails(&n) ? n : __real_pread(fd, data, length, offset);
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t length, off_t offset)
{
    ssize_t n;

    return fails(&n) ? n : __real_pwrite(fd, data, length, offset);
}

#endif
