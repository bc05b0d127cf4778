#include "check.h"
#include "target/trim.h"

#include <stdlib.h>

static void check(struct trim_range *ranges, size_t count, const struct trim_range *right,
                  size_t right_count)
{
    size_t left = trim_join(ranges, count);

    CHECK(left == right_count);
    for (size_t i = 0; i < left && i < right_count; i++)
        CHECK(ranges[i].start == right[i].start && ranges[i].bytes == right[i].bytes);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int main(void)
{
    struct trim_range one[] = {{4096, 8192}};
    struct trim_range apart[] = {{65536, 4096}, {0, 4096}, {8192, 4096}};
    struct trim_range touching[] = {{8192, 4096}, {0, 4096}, {4096, 4096}, {1 << 20, 4096}};
    struct trim_range nested[] = {{0, 65536}, {4096, 4096}, {32768, 65536}};

    CHECK(trim_join(NULL, 0) == 0);
    check(one, COUNT(one), (struct trim_range[]){{4096, 8192}}, 1);
    check(apart, COUNT(apart), (struct trim_range[]){{0, 4096}, {8192, 4096}, {65536, 4096}}, 3);
    check(touching, COUNT(touching), (struct trim_range[]){{0, 12288}, {1 << 20, 4096}}, 2);
    check(nested, COUNT(nested), (struct trim_range[]){{0, 98304}}, 1);
    return check_result();
}
