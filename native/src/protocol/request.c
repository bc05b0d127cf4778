#include "protocol/request.h"

#include "protocol/options.h"

#include <inttypes.h>
#include <string.h>

#define MAX_63 UINT64_C(9223372036854775807)

struct word {
    const char *text;
    size_t length;
};

enum key {
    KEY_ID,
    KEY_OP,
    KEY_BLOCK_SIZE,
    KEY_QUEUE_DEPTH,
    KEY_IO_PARALLELISM,
    KEY_OVERLAP_EVENTS,
    KEY_SINGLE_SUBMIT,
    KEY_TRANSFER_BYTES,
    KEY_MIN_NS,
    KEY_MIN_TRANSFERS,
    KEY_MAX_BYTES,
    KEY_DROP_CACHES,
    KEYS_OF_VERSION_1,
    KEY_ENGINE = KEYS_OF_VERSION_1,
    KEY_ACCESS,
    KEY_SEED,
    KEY_READ_PERCENT,
    KEY_MEMORY,
    KEY_GROUPS,
    KEY_NEW_FILE,
    KEY_FIXED_BUFFERS,
    KEY_MAX_FOREIGN_BYTES,
    KEY_COUNT,
};

static const struct {
    const char *name;
    bool required;
    uint64_t low, high, preset; /* high 0: not a number */
} keys[KEY_COUNT] = {
    [KEY_ID] = {"id", true, 0, MAX_63, 0},
    [KEY_OP] = {"op", true, 0, 0, 0},
    [KEY_BLOCK_SIZE] = {"block_size", true, 512, 64U << 20, 0},
    [KEY_QUEUE_DEPTH] = {"queue_depth", true, 1, 4096, 0},
    [KEY_IO_PARALLELISM] = {"io_parallelism", true, 1, TEAM_MAX_THREADS, 0},
    [KEY_OVERLAP_EVENTS] = {"overlap_events", true, 0, 1, 0},
    [KEY_SINGLE_SUBMIT] = {"single_submit", true, 0, 1, 0},
    [KEY_TRANSFER_BYTES] = {"transfer_bytes", true, 1, MAX_63, 0},
    [KEY_MIN_NS] = {"min_ns", false, 0, UINT64_C(1000000000000), 0},
    [KEY_MIN_TRANSFERS] = {"min_transfers", false, 1, REQUEST_MAX_TRANSFERS, 1},
    [KEY_MAX_BYTES] = {"max_bytes", false, 0, MAX_63, 0},
    [KEY_DROP_CACHES] = {"drop_caches", false, 0, 1, 2},
    [KEY_ENGINE] = {"engine", false, 0, 0, 0},
    [KEY_ACCESS] = {"access", false, 0, 0, 0},
    [KEY_SEED] = {"seed", false, 0, MAX_63, 0},
    [KEY_READ_PERCENT] = {"read_percent", false, 1, 99, 0},
    [KEY_MEMORY] = {"memory", false, 0, 0, 0},
    [KEY_GROUPS] = {"groups", false, 1, TEAM_MAX_GROUPS, 1},
    [KEY_NEW_FILE] = {"new_file", false, 0, 1, 0},
    [KEY_FIXED_BUFFERS] = {"fixed_buffers", false, 0, 1, 0},
    [KEY_MAX_FOREIGN_BYTES] = {"max_foreign_bytes", false, 0, MAX_63, 0},
};

/* Limits a quoted word to 64 bytes, so that the rest of the message fits. */
static int quoted(size_t length)
{
    return length > 64 ? 64 : (int)length;
}

#define bad(fault, ...) fault_set(fault, FAULT_REQUEST, "request", 0, __VA_ARGS__)

bool request_number(const char *text, size_t length, uint64_t *ret)
{
    uint64_t value = 0;

    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';

        if (digit > 9 || value > (MAX_63 - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}

static struct word next_word(const char **at, const char *end)
{
    const char *start = *at;
    const char *space = memchr(start, ' ', (size_t)(end - start));

    *at = space ? space + 1 : end;
    return (struct word){start, (size_t)((space ? space : end) - start)};
}

static bool is_word(struct word word, const char *literal)
{
    return word.length == strlen(literal) && memcmp(word.text, literal, word.length) == 0;
}

static int find_key(struct word name, unsigned protocol)
{
    for (int key = 0; key < (protocol == 1 ? KEYS_OF_VERSION_1 : KEY_COUNT); key++)
        if (is_word(name, keys[key].name))
            return key;
    return -1;
}

/* Stores the raw value of each key in values; .text is NULL for an absent key. */
static int split(const char *line, size_t length, unsigned protocol, struct word values[KEY_COUNT],
                 struct fault *fault)
{
    const char *at = line, *end = line + length;
    const char *nul = memchr(line, '\0', length);
    struct word word;

    if (length > REQUEST_MAX_LINE)
        return bad(fault, "request: longer than %d bytes; shorten the line", REQUEST_MAX_LINE);
    if (nul)
        return bad(fault, "request: NUL byte at offset %zu; send one line of text",
                   (size_t)(nul - line));
    word = next_word(&at, end);
    if (!is_word(word, "point"))
        return bad(fault, "\"%.*s\": unknown verb; begin a request with point", quoted(word.length),
                   word.text);
    if (length > 0 && line[length - 1] == ' ')
        return bad(fault, "request: trailing space; separate words by single spaces");
    while (at < end) {
        const char *equals;
        int key;

        word = next_word(&at, end);
        if (word.length == 0)
            return bad(fault, "request: two spaces in a row; separate words by single spaces");
        equals = memchr(word.text, '=', word.length);
        if (!equals)
            return bad(fault, "\"%.*s\": not of the form key=value", quoted(word.length),
                       word.text);
        key = find_key((struct word){word.text, (size_t)(equals - word.text)}, protocol);
        if (key < 0)
            return bad(fault, "%.*s: unknown key", quoted(word.length), word.text);
        if (values[key].text)
            return bad(fault, "%.*s: key given twice", quoted(word.length), word.text);
        values[key].text = equals + 1;
        values[key].length = word.length - (size_t)(equals + 1 - word.text);
    }
    for (int key = 0; key < KEY_COUNT; key++)
        if (keys[key].required && !values[key].text)
            return bad(fault, "%s: missing; add the key", keys[key].name);
    return 0;
}

static const char *const ops[] = {"read", "write", "mixed"};

const char *request_op(const struct request *request)
{
    return ops[request->direction];
}

static int parse_op(struct word value, unsigned protocol, enum direction *ret, struct fault *fault)
{
    int last = protocol == 1 ? DIRECTION_WRITE : DIRECTION_MIXED;

    for (int direction = DIRECTION_READ; direction <= last; direction++) {
        if (is_word(value, ops[direction])) {
            *ret = (enum direction)direction;
            return 0;
        }
    }
    return bad(fault, "op=%.*s: must be %s", quoted(value.length), value.text,
               protocol == 1 ? "read or write" : "read, write or mixed");
}

/* Parses the words of version 2; those that are absent have their default. */
static int parse_words(const struct word values[KEY_COUNT], struct request *request,
                       struct fault *fault)
{
    struct word engine = values[KEY_ENGINE], access = values[KEY_ACCESS];
    struct word memory = values[KEY_MEMORY];

    request->engine = ENGINE_LIBAIO;
    if (engine.text && !engine_find(engine.text, engine.length, &request->engine))
        return bad(fault, "engine=%.*s: must be libaio, io_uring or psync", quoted(engine.length),
                   engine.text);
    request->random = access.text && is_word(access, "random");
    if (access.text && !request->random && !is_word(access, "sequential"))
        return bad(fault, "access=%.*s: must be sequential or random", quoted(access.length),
                   access.text);
    request->has_memory = memory.text != NULL;
    request->memory = BUFFER_CONSUMER;
    if (memory.text && !options_pages(memory.text, memory.length, &request->memory))
        return bad(fault, "memory=%.*s: must be consumer, huge or hugetlb", quoted(memory.length),
                   memory.text);
    return 0;
}

static int parse_numbers(const struct word values[KEY_COUNT], uint64_t numbers[KEY_COUNT],
                         struct fault *fault)
{
    for (int key = 0; key < KEY_COUNT; key++) {
        struct word value = values[key];

        numbers[key] = keys[key].preset;
        if (keys[key].high == 0 || !value.text)
            continue;
        if (!request_number(value.text, value.length, &numbers[key]) ||
            numbers[key] < keys[key].low || numbers[key] > keys[key].high)
            return bad(fault, "%s=%.*s: must be a decimal integer from %" PRIu64 " to %" PRIu64,
                       keys[key].name, quoted(value.length), value.text, keys[key].low,
                       keys[key].high);
    }
    return 0;
}

/* Checks the numbers of threads, and that they divide the transfer. */
static int check_threads(const struct request *request, const struct request_limits *limits,
                         struct fault *fault)
{
    bool psync = request->engine == ENGINE_PSYNC;
    uint32_t most = psync ? TEAM_MAX_THREADS : TEAM_MAX_QUEUES;
    /* At random, parts are whole blocks; the threads of psync take blocks in turn. */
    uint32_t parts = request->groups * (psync ? 1 : request->io_parallelism);
    uint64_t unit = request->random ? request->block_size : parts * limits->alignment;

    if (request->io_parallelism > most)
        return bad(fault,
                   "io_parallelism=%" PRIu32 ": must be a decimal integer from 1 to %" PRIu32,
                   request->io_parallelism, most);
    if (request->io_parallelism * request->groups > most)
        return bad(fault,
                   "groups=%" PRIu32 ": groups times io_parallelism must be at most %" PRIu32,
                   request->groups, most);
    if (psync && request->queue_depth != 1)
        return bad(fault, "queue_depth=%" PRIu32 ": must be 1 with engine=psync",
                   request->queue_depth);
    if (request->transfer_bytes % unit == 0)
        return 0;
    if (request->random)
        return bad(fault,
                   "transfer_bytes=%" PRIu64 ": not a multiple of block_size, %" PRIu32
                   ", as access=random requires",
                   request->transfer_bytes, request->block_size);
    return bad(fault,
               "transfer_bytes=%" PRIu64 ": not a multiple of io_parallelism times the "
               "target's I/O alignment, %" PRIu32 " x %" PRIu64 " = %" PRIu64 " bytes",
               request->transfer_bytes, parts, limits->alignment, unit);
}

static int check_options(const struct request *request, const struct request_limits *limits,
                         struct fault *fault)
{
    const char *missing = limits->no_engine ? limits->no_engine[request->engine] : "";
    bool mixed = request->direction == DIRECTION_MIXED;

    if (missing[0])
        return bad(fault, "engine=%s: %s", engine_name(request->engine), missing);
    if (mixed && request->read_percent == 0)
        return bad(fault, "read_percent: missing; add the key for op=mixed");
    if (!mixed && request->read_percent != 0)
        return bad(fault, "read_percent=%u: applies to op=mixed only; omit it",
                   request->read_percent);
    if (request->fixed_buffers && request->engine != ENGINE_IO_URING)
        return bad(fault, "fixed_buffers=1: applies to engine=io_uring only; omit it");
    if (request->new_file && !limits->new_file)
        return bad(fault, "new_file=1: needs --scratch and --allow-write");
    if (request->new_file && request->direction != DIRECTION_WRITE)
        return bad(fault, "new_file=1: applies to op=write only; omit it");
    if (request->new_file && (request->random || request->groups > 1))
        return bad(fault, "new_file=1: not with access=random or several groups; omit them");
    return 0;
}

static int check(const struct request *request, const struct request_limits *limits,
                 struct fault *fault)
{
    if (request_writes(request) && !limits->allow_write)
        return bad(fault, "op=%s: writes are not allowed; start aio-sweep with --allow-write",
                   request_op(request));
    if (check_options(request, limits, fault) < 0)
        return -1;
    if (request->block_size % limits->alignment != 0)
        return bad(fault,
                   "block_size=%" PRIu32 ": not a multiple of the target's I/O alignment, %" PRIu64
                   " bytes",
                   request->block_size, limits->alignment);
    if (request->transfer_bytes > limits->max_transfer_bytes)
        return bad(fault, "transfer_bytes=%" PRIu64 ": more than --max-transfer-bytes, %" PRIu64,
                   request->transfer_bytes, limits->max_transfer_bytes);
    return check_threads(request, limits, fault);
}

int request_parse(const char *line, size_t length, const struct request_limits *limits,
                  struct request *ret, struct fault *fault)
{
    struct word values[KEY_COUNT] = {{NULL, 0}};
    uint64_t numbers[KEY_COUNT];
    struct request request;

    if (split(line, length, limits->protocol, values, fault) < 0)
        return -1;
    if (parse_op(values[KEY_OP], limits->protocol, &request.direction, fault) < 0)
        return -1;
    if (parse_words(values, &request, fault) < 0)
        return -1;
    if (parse_numbers(values, numbers, fault) < 0)
        return -1;
    request.id = numbers[KEY_ID];
    request.block_size = (uint32_t)numbers[KEY_BLOCK_SIZE];
    request.queue_depth = (uint32_t)numbers[KEY_QUEUE_DEPTH];
    request.io_parallelism = (uint32_t)numbers[KEY_IO_PARALLELISM];
    request.overlap_events = numbers[KEY_OVERLAP_EVENTS] != 0;
    request.single_submit = numbers[KEY_SINGLE_SUBMIT] != 0;
    request.transfer_bytes = numbers[KEY_TRANSFER_BYTES];
    request.min_ns = numbers[KEY_MIN_NS];
    request.min_transfers = numbers[KEY_MIN_TRANSFERS];
    request.max_bytes = numbers[KEY_MAX_BYTES];
    request.drop_caches = numbers[KEY_DROP_CACHES] == 2   ? REQUEST_DROP_BY_POLICY
                          : numbers[KEY_DROP_CACHES] == 1 ? REQUEST_DROP_YES
                                                          : REQUEST_DROP_NO;
    request.seed = numbers[KEY_SEED];
    request.read_percent = (unsigned)numbers[KEY_READ_PERCENT];
    request.groups = (uint32_t)numbers[KEY_GROUPS];
    request.new_file = numbers[KEY_NEW_FILE] != 0;
    request.fixed_buffers = numbers[KEY_FIXED_BUFFERS] != 0;
    request.max_foreign_bytes = numbers[KEY_MAX_FOREIGN_BYTES];
    if (check(&request, limits, fault) < 0)
        return -1;
    *ret = request;
    return 0;
}

bool request_find_id(const char *line, size_t length, uint64_t *ret_id)
{
    const char *at = line, *end = line + length;

    while (at < end) {
        struct word word = next_word(&at, end);

        if (word.length > 3 && memcmp(word.text, "id=", 3) == 0)
            return request_number(word.text + 3, word.length - 3, ret_id);
    }
    return false;
}
