#include "check.h"
#include "io/permutation.h"

#include <stdlib.h>

/* Each index has its own image; in a shuffled order, about one neighbour in `count` stays one. */
static void check_count(uint64_t count, uint64_t seed)
{
    struct permutation permutation;
    unsigned char *seen = calloc(count, 1);
    uint64_t neighbours = 0, fixed = 0, last = count;

    if (!seen)
        abort();
    permutation_init(&permutation, count, seed);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t image = permutation_at(&permutation, i);

        CHECK(image < count && !seen[image]);
        if (image < count)
            seen[image] = 1;
        neighbours += image == last + 1;
        fixed += image == i;
        last = image;
        CHECK(permutation_at(&permutation, i + count) == image);
    }
    if (count >= 1000)
        CHECK(neighbours < 10 && fixed < 10);
    free(seen);
}

/* Every part of the order reaches all of the span: of each tenth of the indexes, a tenth of the
 * images lies in each tenth. */
static void check_spread(uint64_t count, uint64_t seed)
{
    struct permutation permutation;

    permutation_init(&permutation, count, seed);
    for (uint64_t part = 0; part < 10; part++) {
        uint64_t found[10] = {0}, mean = count / 100;

        for (uint64_t i = part * count / 10; i < (part + 1) * count / 10; i++)
            found[permutation_at(&permutation, i) * 10 / count]++;
        for (int i = 0; i < 10; i++)
            CHECK(found[i] > mean * 7 / 10 && found[i] < mean * 13 / 10);
    }
}

static void seeds_differ(void)
{
    struct permutation one, other;
    unsigned same = 0;

    permutation_init(&one, 1 << 16, 1);
    permutation_init(&other, 1 << 16, 2);
    for (uint64_t i = 0; i < 1 << 16; i++)
        same += permutation_at(&one, i) == permutation_at(&other, i);
    CHECK(same < 16);
}

int main(void)
{
    static const uint64_t counts[] = {1,    2,    3,     4,     5,     7,      8,     9,
                                      63,   64,   65,    100,   1000,  1023,   1024,  1025,
                                      4096, 9999, 16384, 65535, 65537, 262144, 300000};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        for (uint64_t seed = 0; seed < 5; seed++)
            check_count(counts[i], seed);
    for (uint64_t seed = 0; seed < 5; seed++) {
        check_spread(65536, seed);
        check_spread(100000, seed);
    }
    seeds_differ();
    return check_result();
}
