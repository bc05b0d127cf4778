/* Histogram of nanoseconds with 16 buckets for each power of two: a bucket is at most 1/16 of its
 * values wide. */
#ifndef AIO_SWEEP_HIST_H
#define AIO_SWEEP_HIST_H

#include <stdint.h>

/* 16 for the values 0 to 15, then 16 for each of 60 powers of two: all of uint64_t. */
#define HIST_BUCKETS 976

struct hist {
    uint64_t count;
    uint64_t max; /* exact */
    uint64_t buckets[HIST_BUCKETS];
};

static inline unsigned hist_index(uint64_t value)
{
    unsigned exponent;

    if (value < 16)
        return (unsigned)value;
    exponent = 63U - (unsigned)__builtin_clzll(value);
    return (exponent - 3) * 16 + (unsigned)((value >> (exponent - 4)) & 15);
}

static inline void hist_add(struct hist *hist, uint64_t value)
{
    hist->count++;
    if (value > hist->max)
        hist->max = value;
    hist->buckets[hist_index(value)]++;
}

void hist_clear(struct hist *hist);
void hist_merge(struct hist *into, const struct hist *from);

/* Returns the largest value in bucket `index`. */
uint64_t hist_upper_edge(unsigned index);

/* Returns the upper edge of the bucket that holds the value of rank ceil(per_mille/1000 * count),
 * the largest value at most, or 0 if the histogram is empty. */
uint64_t hist_quantile(const struct hist *hist, unsigned per_mille);

#endif
