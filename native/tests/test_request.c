#include "check.h"
#include "protocol/request.h"

#include <stdint.h>
#include <stdlib.h>

#define REST \
    "queue_depth=16 io_parallelism=2 overlap_events=1 single_submit=0 transfer_bytes=67108864"
#define GOOD "point id=7 op=read block_size=131072 " REST

static const struct request_limits limits = {
    .alignment = 512, .max_transfer_bytes = 67108864, .allow_write = false};

static const struct {
    const char *line, *message; /* message: a part of it; NULL: the line is valid */
} table[] = {
    {GOOD, NULL},
    {GOOD " min_ns=100000000 min_transfers=2 max_bytes=1073741824 drop_caches=1", NULL},
    {"point single_submit=1 overlap_events=0 transfer_bytes=65536 io_parallelism=64 "
     "queue_depth=4096 "
     "block_size=67108864 op=read id=9223372036854775807",
     NULL},
    {GOOD " min_ns=1000000000000 min_transfers=65536 max_bytes=9223372036854775807", NULL},
    {"", "\"\": unknown verb; begin a request with point"},
    {" " GOOD, "\"\": unknown verb; begin a request with point"},
    {"points id=1", "\"points\": unknown verb"},
    {"POINT id=1", "\"POINT\": unknown verb"},
    {"point", "id: missing"},
    {GOOD " ", "request: trailing space"},
    {GOOD "  min_ns=1", "request: two spaces in a row"},
    {GOOD "\tmin_ns=1", "transfer_bytes=67108864\tmin_ns=1: must be a decimal integer"},
    {GOOD "\r", "transfer_bytes=67108864\r: must be a decimal integer"},
    {GOOD " colour=red", "colour=red: unknown key"},
    {GOOD " =1", "=1: unknown key"},
    {GOOD " min_ns", "\"min_ns\": not of the form key=value"},
    {GOOD " id=7", "id=7: key given twice"},
    {"point op=read block_size=131072 " REST, "id: missing"},
    {"point id=7 block_size=131072 " REST, "op: missing"},
    {"point id=7 op=read " REST, "block_size: missing"},
    {"point id=7 op=read block_size=131072 queue_depth=1", "io_parallelism: missing"},
    {"point id=7 op=erase block_size=131072 " REST, "op=erase: must be read or write"},
    {"point id=7 op= block_size=131072 " REST, "op=: must be read or write"},
    {"point id=7 op=write block_size=131072 " REST, "--allow-write"},
    {"point id= op=read block_size=131072 " REST, "id=: must be a decimal integer from 0"},
    {"point id=-1 op=read block_size=131072 " REST, "id=-1: must be"},
    {"point id=+1 op=read block_size=131072 " REST, "id=+1: must be"},
    {"point id=0x1 op=read block_size=131072 " REST, "id=0x1: must be"},
    {"point id=1.0 op=read block_size=131072 " REST, "id=1.0: must be"},
    {"point id=9223372036854775808 op=read block_size=131072 " REST,
     "id=9223372036854775808: must"},
    {"point id=18446744073709551617 op=read block_size=131072 " REST, "must be"},
    {"point id=7 op=read block_size=1000 " REST, "block_size=1000: not a multiple"},
    {"point id=7 op=read block_size=0 " REST, "block_size=0: must be a decimal integer from 512"},
    {"point id=7 op=read block_size=511 " REST, "block_size=511: must be"},
    {"point id=7 op=read block_size=67109376 " REST, "block_size=67109376: must be"},
    {"point id=7 op=read block_size=128K " REST, "block_size=128K: must be"},
    {"point id=7 op=read block_size=512 queue_depth=0 io_parallelism=2 overlap_events=1 "
     "single_submit=0 transfer_bytes=1024",
     "queue_depth=0: must be a decimal integer from 1 to 4096"},
    {"point id=7 op=read block_size=512 queue_depth=4097 io_parallelism=2 overlap_events=1 "
     "single_submit=0 transfer_bytes=1024",
     "queue_depth=4097: must"},
    {"point id=7 op=read block_size=512 queue_depth=1 io_parallelism=65 overlap_events=1 "
     "single_submit=0 transfer_bytes=1024",
     "io_parallelism=65: must"},
    {"point id=7 op=read block_size=512 queue_depth=1 io_parallelism=1 overlap_events=2 "
     "single_submit=0 transfer_bytes=1024",
     "overlap_events=2: must be a decimal integer from 0 to 1"},
    {"point id=7 op=read block_size=512 queue_depth=1 io_parallelism=1 overlap_events=true "
     "single_submit=0 transfer_bytes=1024",
     "overlap_events=true: must"},
    {"point id=7 op=read block_size=512 queue_depth=1 io_parallelism=1 overlap_events=0 "
     "single_submit=0 transfer_bytes=0",
     "transfer_bytes=0: must"},
    {"point id=7 op=read block_size=512 queue_depth=1 io_parallelism=3 overlap_events=0 "
     "single_submit=0 transfer_bytes=1024",
     "transfer_bytes=1024: not a multiple of io_parallelism"},
    {"point id=7 op=read block_size=512 queue_depth=1 io_parallelism=1 overlap_events=0 "
     "single_submit=0 transfer_bytes=67109376",
     "more than --max-transfer-bytes"},
    {GOOD " min_transfers=0", "min_transfers=0: must be a decimal integer from 1 to 65536"},
    {GOOD " min_transfers=65537", "min_transfers=65537: must"},
    {GOOD " min_ns=1000000000001", "min_ns=1000000000001: must"},
    {GOOD " max_bytes=9223372036854775808", "max_bytes=9223372036854775808: must"},
    {GOOD " drop_caches=2", "drop_caches=2: must"},
};

static void lines(void)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct request request;
        struct fault fault = {0};
        int r = request_parse(table[i].line, strlen(table[i].line), &limits, &request, &fault);

        if ((r == 0) == (table[i].message == NULL) &&
            (r == 0 || (fault.code == FAULT_REQUEST && strstr(fault.message, table[i].message))))
            continue;
        check_failures++;
        (void)fprintf(stderr, "  %s\n  -> %d \"%s\"\n", table[i].line, r, fault.message);
    }
}

static void values(void)
{
    const char *line = GOOD " min_ns=5 min_transfers=6 max_bytes=7 drop_caches=0";
    struct request request;
    struct fault fault;

    CHECK(request_parse(line, strlen(line), &limits, &request, &fault) == 0);
    CHECK(request.id == 7 && !request.write && request.block_size == 131072);
    CHECK(request.queue_depth == 16 && request.io_parallelism == 2 && request.overlap_events);
    CHECK(!request.single_submit && request.transfer_bytes == 67108864 && request.min_ns == 5);
    CHECK(request.min_transfers == 6 && request.max_bytes == 7);
    CHECK(request.drop_caches == REQUEST_DROP_NO);
    CHECK(request_parse(GOOD, strlen(GOOD), &limits, &request, &fault) == 0);
    CHECK(request.min_ns == 0 && request.min_transfers == 1 && request.max_bytes == 0);
    CHECK(request.drop_caches == REQUEST_DROP_BY_POLICY);
}

static void odd_bytes(void)
{
    char line[2 * REQUEST_MAX_LINE];
    struct request request;
    struct fault fault;
    uint64_t id;

    (void)strcpy(line, GOOD);
    line[10] = '\0';
    CHECK(request_parse(line, strlen(GOOD), &limits, &request, &fault) < 0);
    CHECK(strstr(fault.message, "NUL"));
    memset(line, 'x', sizeof(line));
    CHECK(request_parse(line, REQUEST_MAX_LINE + 1, &limits, &request, &fault) < 0);
    CHECK(strstr(fault.message, "longer"));
    CHECK(request_find_id("point op=x id=12 id=13", 22, &id) && id == 12);
    CHECK(!request_find_id("point id=x", 10, &id));
    CHECK(!request_find_id("point xid=3", 11, &id));
    CHECK(!request_find_id("", 0, &id));
}

/* The parser neither crashes on mutated bytes nor accepts a value outside its limits. The line is
 * malloc'd to its exact size, so that a sanitizer detects a read past its end. */
static void mutations(void)
{
    static const char alphabet[] = "point =0123456789_idopreadwrite\0\xff\n\"\\";
    uint64_t state = 12345;

    for (int round = 0; round < 20000; round++) {
        char *line = NULL;
        size_t length = strlen(GOOD);
        struct request request;
        struct fault fault;

        state = state * UINT64_C(6364136223846793005) + 1442695040888963407U;
        length -= (state >> 33) % 8 == 0 ? (size_t)(state >> 40) % length : 0;
        line = malloc(length ? length : 1);
        if (!line)
            abort();
        memcpy(line, GOOD, length);
        for (unsigned i = 0; length && i <= (state >> 60); i++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407U;
            line[(state >> 33) % length] = alphabet[(state >> 50) % (sizeof(alphabet) - 1)];
        }
        if (request_parse(line, length, &limits, &request, &fault) == 0) {
            CHECK(!request.write && request.block_size % 512 == 0 && request.block_size > 0);
            CHECK(request.transfer_bytes <= limits.max_transfer_bytes &&
                  request.transfer_bytes > 0);
            CHECK(request.transfer_bytes % (512 * request.io_parallelism) == 0);
        } else {
            CHECK(fault.code == FAULT_REQUEST && fault.message[0]);
        }
        free(line);
    }
}

int main(void)
{
    lines();
    values();
    odd_bytes();
    mutations();
    return check_result();
}
