#ifndef AIO_SWEEP_CLOCK_H
#define AIO_SWEEP_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)

/* Returns CLOCK_MONOTONIC in nanoseconds. The vDSO needs no system call. */
static inline uint64_t clock_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
