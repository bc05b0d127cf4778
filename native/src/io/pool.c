#include "io/pool.h"

#include <stddef.h>

int pool_take(struct pool *pool, unsigned depth, struct engine **ret)
{
    unsigned place = 0;
    int r;

    for (unsigned i = 0; i < POOL_SIZE; i++) {
        if (pool->engines[i] && engine_depth(pool->engines[i]) == depth) {
            place = i;
            goto out;
        }
        if (!pool->engines[i] || (pool->engines[place] && pool->used[i] < pool->used[place]))
            place = i;
    }
    engine_destroy(pool->engines[place]);
    pool->engines[place] = NULL;
    r = engine_create(depth, &pool->engines[place]);
    if (r < 0)
        return r;
out:
    pool->used[place] = ++pool->clock;
    *ret = pool->engines[place];
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
