#include "check.h"
#include "protocol/request.h"

#include <stdint.h>
#include <stdlib.h>

#define REST \
    "queue_depth=16 io_parallelism=2 overlap_events=1 single_submit=0 transfer_bytes=67108864"
#define GOOD "point id=7 op=read block_size=131072 " REST

static const struct request_limits limits = {
    .alignment = 512, .max_transfer_bytes = 67108864, .allow_write = false, .protocol = 1};

static const char *const engines[] = {"", "forbidden here", ""};
static const struct request_limits limits_2 = {.alignment = 512,
                                               .max_transfer_bytes = 67108864,
                                               .allow_write = true,
                                               .new_file = true,
                                               .protocol = 2,
                                               .no_engine = engines};

struct line {
    const char *line, *message; /* message: a part of it; NULL: the line is valid */
};

static const struct line table[] = {
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

#define WRITE "point id=7 op=write block_size=131072 " REST
#define MIXED "point id=7 op=mixed block_size=131072 " REST
#define PSYNC                                                                              \
    "point id=7 op=read block_size=131072 queue_depth=1 overlap_events=1 single_submit=0 " \
    "transfer_bytes=67108864 engine=psync "

/* With --protocol=2. */
static const struct line table_2[] = {
    {GOOD, NULL},
    {GOOD " engine=libaio access=sequential seed=0 memory=consumer groups=1 new_file=0 "
          "fixed_buffers=0",
     NULL},
    {GOOD " engine=uring", "engine=uring: must be libaio, io_uring or psync"},
    {GOOD " engine=", "engine=: must be libaio"},
    {GOOD " engine=io_uring", "engine=io_uring: forbidden here"},
    {GOOD " access=random seed=9223372036854775807", NULL},
    {GOOD " access=backwards", "access=backwards: must be sequential or random"},
    {GOOD " seed=9223372036854775808", "seed=9223372036854775808: must be a decimal integer"},
    {GOOD " memory=hugetlb", NULL},
    {GOOD " memory=huge", NULL},
    {GOOD " memory=small", "memory=small: must be consumer, huge or hugetlb"},
    {GOOD " groups=16", NULL},
    {GOOD " groups=17", "groups=17: must be a decimal integer from 1 to 16"},
    {GOOD " groups=0", "groups=0: must be"},
    {GOOD " groups=3", "transfer_bytes=67108864: not a multiple of io_parallelism"},
    {GOOD " groups=3 access=random", NULL},
    {GOOD " colour=red", "colour=red: unknown key"},
    {GOOD " groups=2 groups=2", "groups=2: key given twice"},
    {"point id=7 op=read block_size=4096 queue_depth=1 io_parallelism=32 overlap_events=1 "
     "single_submit=0 transfer_bytes=67108864 groups=4",
     "groups=4: groups times io_parallelism must be at most 64"},
    {"point id=7 op=read block_size=3072 queue_depth=1 io_parallelism=2 overlap_events=1 "
     "single_submit=0 transfer_bytes=67108864 access=random",
     "transfer_bytes=67108864: not a multiple of block_size, 3072"},
    {PSYNC "io_parallelism=512", NULL},
    {PSYNC "io_parallelism=513", "io_parallelism=513: must be a decimal integer from 1 to 512"},
    {PSYNC "io_parallelism=7", NULL},
    {PSYNC "io_parallelism=256 groups=2", NULL},
    {PSYNC "io_parallelism=257 groups=2", "must be at most 512"},
    {PSYNC "io_parallelism=2 fixed_buffers=1", "fixed_buffers=1: applies to engine=io_uring only"},
    {GOOD " engine=psync", "queue_depth=16: must be 1 with engine=psync"},
    {"point id=7 op=read block_size=512 queue_depth=1 io_parallelism=65 overlap_events=1 "
     "single_submit=0 transfer_bytes=33280",
     "io_parallelism=65: must be a decimal integer from 1 to 64"},
    {MIXED " read_percent=70", NULL},
    {MIXED, "read_percent: missing"},
    {MIXED " read_percent=0", "read_percent=0: must be a decimal integer from 1 to 99"},
    {MIXED " read_percent=100", "read_percent=100: must be"},
    {GOOD " read_percent=70", "read_percent=70: applies to op=mixed only"},
    {WRITE " new_file=1", NULL},
    {GOOD " new_file=1", "new_file=1: applies to op=write only"},
    {MIXED " read_percent=70 new_file=1", "new_file=1: applies to op=write only"},
    {WRITE " new_file=1 access=random", "new_file=1: not with access=random"},
    {WRITE " new_file=1 groups=2", "new_file=1: not with access=random or several groups"},
    {"point id=7 op=erase block_size=131072 " REST, "op=erase: must be read, write or mixed"},
};

static void check_lines(const struct line *lines, size_t count, const struct request_limits *limit)
{
    for (size_t i = 0; i < count; i++) {
        struct request request;
        struct fault fault = {0};
        int r = request_parse(lines[i].line, strlen(lines[i].line), limit, &request, &fault);

        if ((r == 0) == (lines[i].message == NULL) &&
            (r == 0 || (fault.code == FAULT_REQUEST && strstr(fault.message, lines[i].message))))
            continue;
        check_failures++;
        (void)fprintf(stderr, "  %s\n  -> %d \"%s\"\n", lines[i].line, r, fault.message);
    }
}

/* A caller of version 1 is refused the keys and words of version 2. */
static void keys_of_version_2(void)
{
    static const char *const words[] = {"engine=psync", "access=random",   "seed=1",
                                        "memory=huge",  "groups=1",        "read_percent=70",
                                        "new_file=0",   "fixed_buffers=0", "max_foreign_bytes=0"};
    struct request request;
    struct fault fault;
    char line[256];

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        (void)snprintf(line, sizeof(line), GOOD " %s", words[i]);
        CHECK(request_parse(line, strlen(line), &limits, &request, &fault) < 0);
        CHECK(strstr(fault.message, "unknown key"));
    }
    CHECK(request_parse(MIXED, strlen(MIXED), &limits, &request, &fault) < 0);
    CHECK_TEXT(fault.message, "op=mixed: must be read or write");
}

static void values_of_version_2(void)
{
    const char *line = "point id=7 op=mixed read_percent=70 block_size=4096 queue_depth=1 "
                       "io_parallelism=8 overlap_events=1 single_submit=0 transfer_bytes=65536 "
                       "engine=psync access=random seed=5 memory=huge groups=2 "
                       "max_foreign_bytes=32768";
    struct request request;
    struct fault fault;

    CHECK(request_parse(line, strlen(line), &limits_2, &request, &fault) == 0);
    CHECK(request.direction == DIRECTION_MIXED && request.read_percent == 70);
    CHECK(request_reads(&request) && request_writes(&request));
    CHECK_TEXT(request_op(&request), "mixed");
    CHECK(request.engine == ENGINE_PSYNC && request.random && request.seed == 5);
    CHECK(request.has_memory && request.memory == BUFFER_HUGE && request.groups == 2);
    CHECK(request.max_foreign_bytes == 32768);
    CHECK(request_parse(GOOD, strlen(GOOD), &limits_2, &request, &fault) == 0);
    CHECK(request.engine == ENGINE_LIBAIO && !request.random && request.seed == 0);
    CHECK(!request.has_memory && request.groups == 1 && !request.new_file);
    CHECK(!request.fixed_buffers && request.max_foreign_bytes == 0);
}

static void values(void)
{
    const char *line = GOOD " min_ns=5 min_transfers=6 max_bytes=7 drop_caches=0";
    struct request request;
    struct fault fault;

    CHECK(request_parse(line, strlen(line), &limits, &request, &fault) == 0);
    CHECK(request.id == 7 && request.direction == DIRECTION_READ && request.block_size == 131072);
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
            CHECK(!request_writes(&request) && request.block_size % 512 == 0 &&
                  request.block_size > 0);
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
    check_lines(table, sizeof(table) / sizeof(table[0]), &limits);
    check_lines(table_2, sizeof(table_2) / sizeof(table_2[0]), &limits_2);
    keys_of_version_2();
    values_of_version_2();
    values();
    odd_bytes();
    mutations();
    return check_result();
}
