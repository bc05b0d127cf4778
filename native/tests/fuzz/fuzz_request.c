/* request_parse(): an accepted request is within its limits and survives a round trip; a rejected
 * one has a fault and leaves *ret unchanged. The input is a byte that selects the limits, then the
 * line. */
#include "fuzz/fuzz.h"
#include "protocol/emit.h"
#include "protocol/request.h"

#include <inttypes.h>

static const char *const no_engine[] = {"", "forbidden", ""};
static const struct request_limits limits[] = {
    {.alignment = 512,
     .max_transfer_bytes = UINT64_C(64) << 20,
     .allow_write = true,
     .new_file = true,
     .protocol = 2},
    {.alignment = 4096, .max_transfer_bytes = UINT64_C(1) << 40, .protocol = 1},
    {.alignment = 512, .max_transfer_bytes = 512, .allow_write = true, .protocol = 1},
    {.alignment = 512,
     .max_transfer_bytes = UINT64_C(1) << 40,
     .allow_write = true,
     .protocol = 2,
     .no_engine = no_engine},
};

static void check_limits(const struct request *request, const struct request_limits *limit)
{
    HOLDS(request->id <= INT64_MAX);
    HOLDS(!request_writes(request) || limit->allow_write);
    HOLDS(request->block_size >= 512 && request->block_size <= 64U << 20);
    HOLDS(request->block_size % limit->alignment == 0);
    HOLDS(request->queue_depth >= 1 && request->queue_depth <= 4096);
    HOLDS(request->io_parallelism >= 1 && request->groups >= 1 && request->groups <= 16);
    HOLDS(request->io_parallelism * request->groups <=
          (request->engine == ENGINE_PSYNC ? TEAM_MAX_THREADS : TEAM_MAX_QUEUES));
    HOLDS(request->transfer_bytes >= 1 && request->transfer_bytes <= limit->max_transfer_bytes);
    HOLDS(request->transfer_bytes % limit->alignment == 0);
    if (request->random)
        HOLDS(request->transfer_bytes % request->block_size == 0);
    else if (request->engine != ENGINE_PSYNC)
        HOLDS(request->transfer_bytes %
                  (request->io_parallelism * request->groups * limit->alignment) ==
              0);
    HOLDS(request->min_ns <= UINT64_C(1000000000000));
    HOLDS(request->min_transfers >= 1 && request->min_transfers <= REQUEST_MAX_TRANSFERS);
    HOLDS(request->max_bytes <= INT64_MAX);
    HOLDS((request->direction == DIRECTION_MIXED) == (request->read_percent > 0));
    HOLDS(request->read_percent < 100 && request->seed <= INT64_MAX);
    HOLDS(!request->new_file || (limit->new_file && request->direction == DIRECTION_WRITE));
    HOLDS(!request->fixed_buffers || request->engine == ENGINE_IO_URING);
    HOLDS(!limit->no_engine || limit->no_engine[request->engine][0] == '\0');
    HOLDS(request->engine != ENGINE_PSYNC || request->queue_depth == 1);
    if (limit->protocol == 1)
        HOLDS(request->engine == ENGINE_LIBAIO && !request->random && request->seed == 0 &&
              request->direction != DIRECTION_MIXED && !request->has_memory &&
              request->groups == 1 && !request->new_file);
}

static bool is_same(const struct request *one, const struct request *other)
{
    return one->id == other->id && one->direction == other->direction &&
           one->read_percent == other->read_percent && one->engine == other->engine &&
           one->random == other->random && one->seed == other->seed &&
           one->has_memory == other->has_memory && one->memory == other->memory &&
           one->groups == other->groups && one->new_file == other->new_file &&
           one->fixed_buffers == other->fixed_buffers && one->block_size == other->block_size &&
           one->queue_depth == other->queue_depth && one->io_parallelism == other->io_parallelism &&
           one->overlap_events == other->overlap_events &&
           one->single_submit == other->single_submit &&
           one->transfer_bytes == other->transfer_bytes && one->min_ns == other->min_ns &&
           one->min_transfers == other->min_transfers && one->max_bytes == other->max_bytes &&
           one->drop_caches == other->drop_caches;
}

static void check_reads_back(const struct request *request, const struct request_limits *limit)
{
    static const char *const drops[] = {[REQUEST_DROP_BY_POLICY] = "",
                                        [REQUEST_DROP_NO] = " drop_caches=0",
                                        [REQUEST_DROP_YES] = " drop_caches=1"};
    static const char *const pages[] = {"consumer", "huge", "hugetlb"};
    char line[REQUEST_MAX_LINE + 1];
    struct request again;
    struct fault fault;
    int length = snprintf(line, sizeof(line),
                          "point id=%" PRIu64 " op=%s block_size=%" PRIu32 " queue_depth=%" PRIu32
                          " io_parallelism=%" PRIu32
                          " overlap_events=%d single_submit=%d transfer_bytes=%" PRIu64
                          " min_ns=%" PRIu64 " min_transfers=%" PRIu64 " max_bytes=%" PRIu64 "%s",
                          request->id, request_op(request), request->block_size,
                          request->queue_depth, request->io_parallelism, request->overlap_events,
                          request->single_submit, request->transfer_bytes, request->min_ns,
                          request->min_transfers, request->max_bytes, drops[request->drop_caches]);

    HOLDS(length > 0 && (size_t)length < sizeof(line));
    if (limit->protocol == 2)
        length += snprintf(
            line + length, sizeof(line) - (size_t)length,
            " engine=%s access=%s seed=%" PRIu64 " groups=%" PRIu32 " new_file=%d fixed_buffers=%d",
            engine_name(request->engine), request->random ? "random" : "sequential", request->seed,
            request->groups, request->new_file, request->fixed_buffers);
    if (request->has_memory)
        length += snprintf(line + length, sizeof(line) - (size_t)length, " memory=%s",
                           pages[request->memory]);
    if (request->read_percent > 0)
        length += snprintf(line + length, sizeof(line) - (size_t)length, " read_percent=%u",
                           request->read_percent);
    HOLDS((size_t)length < sizeof(line));
    HOLDS(request_parse(line, (size_t)length, limit, &again, &fault) == 0);
    HOLDS(is_same(request, &again));
}

/* Checks that the error line is printable ASCII for any quoted bytes. */
static void check_emitted(const char *message, const char *line, size_t length)
{
    struct emit emit;

    HOLDS(emit_open(&emit, -1) == 0);
    emit_begin(&emit, "error");
    emit_string(&emit, "message", message);
    emit_bytes(&emit, "line", line, length);
    HOLDS(emit.error == 0);
    for (size_t i = 0; i < emit.length; i++)
        HOLDS(emit.data[i] >= 0x20 && emit.data[i] <= 0x7e);
    HOLDS(emit.data[emit.length - 1] == '"');
    emit_close(&emit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct request_limits *limit;
    struct request request, untouched;
    struct fault fault;
    uint64_t id;
    size_t length;
    char *line;

    if (size == 0)
        return 0;
    limit = &limits[data[0] % (sizeof(limits) / sizeof(limits[0]))];
    length = size - 1;
    line = exact_copy(data + 1, length);
    memset(&request, 0xa5, sizeof(request));
    untouched = request;
    if (request_parse(line, length, limit, &request, &fault) == 0) {
        check_limits(&request, limit);
        check_reads_back(&request, limit);
        HOLDS(request_find_id(line, length, &id) && id == request.id);
    } else {
        check_fault(&fault, FAULT_REQUEST);
        HOLDS(memcmp(&request, &untouched, sizeof(request)) == 0);
        (void)request_find_id(line, length, &id);
        check_emitted(fault.message, line, length);
    }
    free(line);
    return 0;
}
