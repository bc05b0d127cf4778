/*
 * Injects faults into the calls of libaio by the linker's --wrap, so that the tested code is the
 * code that ships. Without an armed fault the real function is called. With several threads, only
 * errors of io_submit may be injected.
 */
#ifndef AIO_SWEEP_FAULTS_H
#define AIO_SWEEP_FAULTS_H

#include <errno.h>
#include <libaio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

enum fault_kind {
    NO_FAULT,
    SUBMIT_ERROR,   /* value: the result of io_submit, which submits nothing */
    SUBMIT_PARTIAL, /* accepts one of many */
    SETUP_ERROR,    /* value: the result of io_setup */
    REAP_ERROR,     /* value: the result of io_getevents */
    RESULT,         /* value: the res of one event */
    RESULT2,        /* value: the res2 of one event */
};

static struct {
    enum fault_kind kind;
    long value;
    int after; /* calls or events before the first fault */
    int times; /* number of faults; -1: no limit */
} injected;
static pthread_mutex_t injected_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int submit_calls, setup_calls;

int __real_io_setup(int depth, io_context_t *context);
int __real_io_submit(io_context_t context, long count, struct iocb *iocbs[]);
int __real_io_getevents(io_context_t context, long min_events, long count, struct io_event *events,
                        struct timespec *timeout);
int __wrap_io_setup(int depth, io_context_t *context);
int __wrap_io_submit(io_context_t context, long count, struct iocb *iocbs[]);
int __wrap_io_getevents(io_context_t context, long min_events, long count, struct io_event *events,
                        struct timespec *timeout);

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

#endif
