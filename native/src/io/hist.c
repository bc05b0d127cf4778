#include "io/hist.h"

#include <string.h>

void hist_clear(struct hist *hist)
{
    memset(hist, 0, sizeof(*hist));
}

void hist_merge(struct hist *into, const struct hist *from)
{
    into->count += from->count;
    if (from->max > into->max)
        into->max = from->max;
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t hist_upper_edge(unsigned index)
{
    unsigned shift;

    if (index < 16)
        return index;
    shift = index / 16 - 1;
    /* In the last bucket the shift overflows to 0, and the subtraction wraps to 2^64 - 1. */
    return ((uint64_t)(16 + index % 16 + 1) << shift) - 1;
}

uint64_t hist_quantile(const struct hist *hist, unsigned per_mille)
{
    uint64_t rank, seen = 0;

    if (hist->count == 0)
        return 0;
    /* Thousands and rest apart, so that the product cannot overflow. */
    rank = hist->count / 1000 * per_mille + (hist->count % 1000 * per_mille + 999) / 1000;
    if (rank == 0)
        rank = 1;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->buckets[i];
        if (seen >= rank)
            return hist_upper_edge(i) < hist->max ? hist_upper_edge(i) : hist->max;
    }
    return hist->max;
}
