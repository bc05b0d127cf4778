#include "check.h"
#include "target/prepare.h"

#include <stdlib.h>

int main(void)
{
    enum { BYTES = 4096 };
    char *data = calloc(1, BYTES);

    if (!data)
        abort();
    CHECK(prepare_first_nonzero(data, BYTES) == BYTES);
    CHECK(prepare_first_nonzero(data, 1) == 1);
    CHECK(prepare_first_nonzero(data, 0) == 0);
    for (uint64_t at = 0; at < BYTES; at += 1 + at / 3) {
        data[at] = (char)0x80;
        CHECK(prepare_first_nonzero(data, BYTES) == at);
        data[at] = 0;
    }
    memset(data, 1, BYTES);
    CHECK(prepare_first_nonzero(data, BYTES) == 0);
    free(data);
    return check_result();
}
