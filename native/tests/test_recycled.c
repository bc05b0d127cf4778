#include "check.h"
#include "io/recycled.h"

#define KIB UINT64_C(1024)

/* What counts are blocks below 64 KiB, so fewer orders with larger pages, and none with 64 KiB. */
int main(void)
{
    static const char zone[] = "Node 0, zone   Normal   100   10    7    3    5    2    1    0\n";

    CHECK(recycled_small_bytes(zone, 4 * KIB) == (100 * 4 + 10 * 8 + 7 * 16 + 3 * 32) * KIB);
    CHECK(recycled_small_bytes(zone, 16 * KIB) == (100 * 16 + 10 * 32) * KIB);
    CHECK(recycled_small_bytes(zone, 64 * KIB) == 0);
    CHECK(recycled_small_bytes("Node 0, zone      DMA      1", 4 * KIB) == 4 * KIB);
    CHECK(recycled_small_bytes("Node 0, zone      DMA", 4 * KIB) == 0);
    CHECK(recycled_small_bytes("Page block order: 9\n", 4 * KIB) == 0);
    CHECK(recycled_small_bytes("", 4 * KIB) == 0);
    return check_result();
}
