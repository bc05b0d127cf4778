/* The engines of one thread. They are kept because creating or destroying one waits for an RCU
 * grace period. */
#ifndef AIO_SWEEP_POOL_H
#define AIO_SWEEP_POOL_H

#include "io/engine.h"

#define POOL_SIZE 8 /* the default grid has 5 queue depths */

struct pool {
    struct engine *engines[POOL_SIZE];
    uint64_t used[POOL_SIZE]; /* ->clock when each was last taken */
    uint64_t clock;
};

/*
 * Finds or creates an engine. Then destroys the least recently used of the others while the sum of
 * their depths is above `kept`: events of libaio are a resource of the whole host. Returns 0 or
 * -errno.
 */
int pool_take(struct pool *pool, const struct engine_key *key, uint64_t kept, struct engine **ret);

/* Destroys all engines except `keep`, which may be NULL. */
void pool_trim(struct pool *pool, const struct engine *keep);

#endif
