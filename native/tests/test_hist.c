#include "check.h"
#include "io/hist.h"

#include <stdlib.h>

static void every_value_lies_in_its_bucket(void)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int delta = -2; delta <= 2; delta++) {
            uint64_t value = (UINT64_C(1) << shift) + (uint64_t)(int64_t)delta;
            unsigned index = hist_index(value);
            uint64_t upper, below;

            CHECK(index < HIST_BUCKETS);
            upper = hist_upper_edge(index);
            below = index ? hist_upper_edge(index - 1) : 0;
            CHECK(value <= upper);
            CHECK(index == 0 || value > below);
            CHECK(upper - below <= 1 || upper - below <= below / 16 + 1);
        }
    }
    CHECK(hist_upper_edge(HIST_BUCKETS - 1) == UINT64_MAX);
}

static void quantiles(void)
{
    struct hist *hist = calloc(1, sizeof(*hist)), *other = calloc(1, sizeof(*other));

    CHECK(hist && other);
    if (!hist || !other)
        abort();
    CHECK(hist_quantile(hist, 500) == 0);
    for (uint64_t i = 1; i <= 1000; i++)
        hist_add(i % 2 ? hist : other, i * 1000);
    hist_merge(hist, other);
    CHECK(hist->count == 1000);
    CHECK(hist->max == 1000000);
    CHECK(hist_quantile(hist, 500) >= 500000 && hist_quantile(hist, 500) <= 500000 + 500000 / 16);
    CHECK(hist_quantile(hist, 999) >= 999000 && hist_quantile(hist, 999) <= 999000 + 999000 / 16);
    hist_clear(hist);
    CHECK(hist->count == 0 && hist->max == 0);
    /* No quantile is above the largest value, although its bucket ends later. */
    hist_add(hist, 1000001);
    CHECK(hist_upper_edge(hist_index(1000001)) > 1000001);
    CHECK(hist_quantile(hist, 500) == 1000001 && hist_quantile(hist, 999) == 1000001);
    hist_clear(hist);
    hist_add(hist, 7);
    CHECK(hist_quantile(hist, 1) == 7 && hist_quantile(hist, 999) == 7);
    free(hist);
    free(other);
}

int main(void)
{
    every_value_lies_in_its_bucket();
    quantiles();
    return check_result();
}
