/* Assertions of the unit tests. A failed CHECK is printed and counted; main returns check_result().
 */
#ifndef AIO_SWEEP_CHECK_H
#define AIO_SWEEP_CHECK_H

#include <stdio.h>
#include <string.h>

#define CHECK_SKIP 77 /* exit code of a test that cannot run here */

static int check_failures;

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            check_failures++;                                                             \
            (void)fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                                 \
    } while (0)

#define CHECK_TEXT(got, wanted)                                                                    \
    do {                                                                                           \
        if (strcmp((got), (wanted)) != 0) {                                                        \
            check_failures++;                                                                      \
            (void)fprintf(stderr, "%s:%d: got \"%s\", wanted \"%s\"\n", __FILE__, __LINE__, (got), \
                          (wanted));                                                               \
        }                                                                                          \
    } while (0)

static inline int check_result(void)
{
    return check_failures ? 1 : 0;
}

#endif
