#include "io/pool.h"

#include <stddef.h>

int pool_take(struct pool *pool, unsigned depth, struct engine **ret)
{
    unsigned index = 0;
    int r;

    for (unsigned i = 0; i < POOL_SIZE; i++) {
        if (pool->engines[i] && engine_depth(pool->engines[i]) == depth) {
            index = i;
            goto out;
        }
        if (!pool->engines[i] || (pool->engines[index] && pool->used[i] < pool->used[index]))
            index = i;
    }
    engine_destroy(pool->engines[index]);
    pool->engines[index] = NULL;
    r = engine_create(depth, &pool->engines[index]);
    if (r < 0)
        return r;
out:
    pool->used[index] = ++pool->clock;
    *ret = pool->engines[index];
    return 0;
}

bool pool_trim(struct pool *pool, unsigned keep)
{
    bool any = false;

    for (unsigned i = 0; i < POOL_SIZE; i++) {
        struct engine *engine = pool->engines[i];

        if (!engine || engine_depth(engine) == keep)
            continue;
        engine_destroy(engine);
        pool->engines[i] = NULL;
        any = true;
    }
    return any;
}
