/* The engines of one thread, kept by depth because making and destroying one waits for an RCU grace
 * period. */
#ifndef AIO_SWEEP_POOL_H
#define AIO_SWEEP_POOL_H

#include "io/engine.h"

#define POOL_SIZE 8 /* the default sweep has 5 depths */

struct pool {
    struct engine *engines[POOL_SIZE];
    uint64_t used[POOL_SIZE]; /* when each was taken last, by ->clock */
    uint64_t clock;
};

/* The engine of that depth, made if need be; when all places are taken the one unused for longest
 * goes. 0 or -errno. */
int pool_take(struct pool *pool, unsigned depth, struct engine **ret);

/* Destroys all but the engine of depth `keep` (0: all). True if there were any. */
bool pool_trim(struct pool *pool, unsigned keep);

#endif
