#include "check.h"
#include "clock.h"
#include "io/usage.h"

int main(void)
{
    struct usage before, after;

    /* user + nice + system + irq + softirq, without idle, iowait, steal and guests */
    CHECK(usage_parse_host("cpu  1 2 4 1000 2000 8 16 3000 4000 5000\n") == 31 * 10000000);
    CHECK(usage_parse_host("cpu0 1 2 4 1000 2000 8 16 3000\n") == 0);
    CHECK(usage_parse_host("cpu  1 2 4\n") == 0);
    CHECK(usage_parse_host("") == 0);
    usage_read(&before);
    do
        usage_read(&after);
    while (after.user_ns + after.system_ns < before.user_ns + before.system_ns + NS_PER_S / 5);
    CHECK(after.host_ns >= before.host_ns + NS_PER_S / 10);
    CHECK(usage_io_workers() == 0);
    return check_result();
}
