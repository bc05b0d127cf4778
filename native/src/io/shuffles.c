#include "io/shuffles.h"

struct shuffle *shuffles_find(struct shuffles *shuffles, uint32_t block_size, uint64_t seed)
{
    struct shuffle *found = &shuffles->entries[0];

    for (unsigned i = 0; i < SHUFFLES_MAX; i++) {
        struct shuffle *entry = &shuffles->entries[i];

        if (entry->block_size == block_size && entry->seed == seed) {
            found = entry;
            break;
        }
        if (entry->used < found->used)
            found = entry;
    }
    if (found->block_size != block_size || found->seed != seed)
        *found = (struct shuffle){.block_size = block_size, .seed = seed};
    found->used = ++shuffles->clock;
    return found;
}
