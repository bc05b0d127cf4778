/* The engines of one thread, kept by queue depth because creating or destroying one waits for an
 * RCU grace period. */
#ifndef AIO_SWEEP_POOL_H
#define AIO_SWEEP_POOL_H

#include "io/engine.h"

#define POOL_SIZE 8 /* the default sweep has 5 depths */

struct pool {
    struct engine *engines[POOL_SIZE];
    uint64_t used[POOL_SIZE]; /* value of ->clock when each was last taken */
    uint64_t clock;
};

/* Finds the engine of that depth, or creates it. When the pool is full, the least recently used
 * engine is destroyed. Returns 0 or -errno. */
int pool_take(struct pool *pool, unsigned depth, struct engine **ret);

/* Destroys all engines but that of depth `keep` (0: all). Returns true if there were any. */
bool pool_trim(struct pool *pool, unsigned keep);

#endif
