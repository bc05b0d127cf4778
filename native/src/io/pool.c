#include "io/pool.h"

static void empty(struct pool *pool, unsigned index)
{
    engine_destroy(pool->engines[index]);
    pool->engines[index] = NULL;
}

/* Returns the index of the engine that was used least recently, `except` apart; of an empty place
 * if there is one and `or_empty` is set; POOL_SIZE if there is none. */
static unsigned oldest(const struct pool *pool, unsigned except, bool or_empty)
{
    unsigned found = POOL_SIZE;

    for (unsigned i = 0; i < POOL_SIZE; i++) {
        if (!pool->engines[i] && or_empty)
            return i;
        if (pool->engines[i] && i != except &&
            (found == POOL_SIZE || pool->used[i] < pool->used[found]))
            found = i;
    }
    return found;
}

static uint64_t depths(const struct pool *pool, unsigned except)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < POOL_SIZE; i++)
        if (pool->engines[i] && i != except)
            sum += engine_depth(pool->engines[i]);
    return sum;
}

int pool_take(struct pool *pool, const struct engine_key *key, uint64_t kept, struct engine **ret)
{
    unsigned index = 0;

    while (index < POOL_SIZE && !(pool->engines[index] && engine_fits(pool->engines[index], key)))
        index++;
    if (index == POOL_SIZE) {
        int r;

        index = oldest(pool, POOL_SIZE, true);
        empty(pool, index);
        r = engine_create(key, &pool->engines[index]);
        if (r < 0)
            return r;
    }
    while (depths(pool, index) > kept)
        empty(pool, oldest(pool, index, false));
    pool->used[index] = ++pool->clock;
    *ret = pool->engines[index];
    return 0;
}

void pool_trim(struct pool *pool, const struct engine *keep)
{
    for (unsigned i = 0; i < POOL_SIZE; i++)
        if (pool->engines[i] != keep)
            empty(pool, i);
}
