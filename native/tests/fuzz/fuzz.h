/* What the fuzz targets share. A target checks what must hold for any input, and aborts where it
 * does not. LibFuzzer drives it in a build by clang with -DAIO_SWEEP_FUZZ=ON (tests/bench/fuzz.py),
 * and mutate.c in every other build, where it is one of the tests. */
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

/* Returns a copy that ends where its memory ends, so that AddressSanitizer sees a read past it. */
static inline char *exact_copy(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);

    HOLDS(copy);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* A refusal has its exit code and a message. */
static inline void check_fault(const struct fault *fault, enum fault_code code)
{
    HOLDS(fault->code == code);
    HOLDS(memchr(fault->message, '\0', sizeof(fault->message)));
    HOLDS(fault->message[0] != '\0');
}

#endif
