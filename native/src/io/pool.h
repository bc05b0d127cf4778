/* The engines of one thread, by queue depth. They are kept because creating or destroying one waits
 * for an RCU grace period. */
#ifndef AIO_SWEEP_POOL_H
#define AIO_SWEEP_POOL_H

#include "io/engine.h"

#define POOL_SIZE 8 /* the default grid has 5 queue depths */

struct pool {
    struct engine *engines[POOL_SIZE];
    uint64_t used[POOL_SIZE]; /* ->clock when each was last taken */
    uint64_t clock;
};

/* Finds or creates the engine of that queue depth. A full pool destroys the least recently used
 * one. Returns 0 or -errno. */
int pool_take(struct pool *pool, unsigned depth, struct engine **ret);

/* Destroys all engines except that of depth `keep` (0: all). Returns true if it destroyed any. */
bool pool_trim(struct pool *pool, unsigned keep);

#endif
