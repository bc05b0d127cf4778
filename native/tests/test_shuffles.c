#include "check.h"
#include "io/shuffles.h"

int main(void)
{
    static struct shuffles shuffles;

    /* Each block size and seed has a position of its own, which stays. */
    shuffles_find(&shuffles, 4096, 0)->next = 10;
    shuffles_find(&shuffles, 8192, 0)->next = 20;
    shuffles_find(&shuffles, 4096, 1)->next = 30;
    CHECK(shuffles_find(&shuffles, 4096, 0)->next == 10);
    CHECK(shuffles_find(&shuffles, 8192, 0)->next == 20);
    CHECK(shuffles_find(&shuffles, 4096, 1)->next == 30);
    CHECK(shuffles_find(&shuffles, 8192, 1)->next == 0);
    /* With one more than fit, the least recently used starts again. */
    for (uint32_t i = 0; i < SHUFFLES_MAX - 4; i++)
        shuffles_find(&shuffles, 512 * (i + 100), 5)->next = i + 1;
    CHECK(shuffles_find(&shuffles, 4096, 0)->next == 10);
    (void)shuffles_find(&shuffles, 512, 9);
    CHECK(shuffles_find(&shuffles, 4096, 0)->next == 10);
    CHECK(shuffles_find(&shuffles, 4096, 1)->next == 30);
    CHECK(shuffles_find(&shuffles, 8192, 0)->next == 0);
    return check_result();
}
