/* Common parts of the fuzz targets. A target aborts if a condition that must hold for any input
 * does not. libFuzzer runs it in a clang build with -DAIO_SWEEP_FUZZ=ON (tests/bench/fuzz.py). In
 * every other build mutate.c runs it as one of the unit tests. */
#ifndef AIO_SWEEP_FUZZ_H
#define AIO_SWEEP_FUZZ_H

#include "protocol/fault.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLDS(condition)                                                                         \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            (void)fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* the name that libFuzzer calls */

/* Returns a copy in memory of exactly this size, so that AddressSanitizer detects a read past its
 * end. */
static inline char *exact_copy(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    HOLDS(copy);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* Checks that the fault has its exit code and a message. */
static inline void check_fault(const struct fault *fault, enum fault_code code)
{
    HOLDS(fault->code == code);
    HOLDS(memchr(fault->message, '\0', sizeof(fault->message)));
    HOLDS(fault->message[0] != '\0');
}

#endif
