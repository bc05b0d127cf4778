#include "protocol/request.h"

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
    KEY_COUNT,
};

static const struct {
    const char *name;
    bool required;
    uint64_t low, high, preset;
} keys[KEY_COUNT] = {
    [KEY_ID] = {"id", true, 0, MAX_63, 0},
    [KEY_OP] = {"op", true, 0, 0, 0}, /* not a number: parse_op() */
    [KEY_BLOCK_SIZE] = {"block_size", true, 512, 64U << 20, 0},
    [KEY_QUEUE_DEPTH] = {"queue_depth", true, 1, 4096, 0},
    [KEY_IO_PARALLELISM] = {"io_parallelism", true, 1, REQUEST_MAX_PARALLELISM, 0},
    [KEY_OVERLAP_EVENTS] = {"overlap_events", true, 0, 1, 0},
    [KEY_SINGLE_SUBMIT] = {"single_submit", true, 0, 1, 0},
    [KEY_TRANSFER_BYTES] = {"transfer_bytes", true, 1, MAX_63, 0},
    [KEY_MIN_NS] = {"min_ns", false, 0, UINT64_C(1000000000000), 0},
    [KEY_MIN_TRANSFERS] = {"min_transfers", false, 1, REQUEST_MAX_TRANSFERS, 1},
    [KEY_MAX_BYTES] = {"max_bytes", false, 0, MAX_63, 0},
    [KEY_DROP_CACHES] = {"drop_caches", false, 0, 1, 2},
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
    const char *stop = space ? space : end;

    *at = space ? space + 1 : end;
    return (struct word){start, (size_t)(stop - start)};
}

static bool is_word(struct word word, const char *literal)
{
    return word.length == strlen(literal) && memcmp(word.text, literal, word.length) == 0;
}

static int find_key(struct word name)
{
    for (int key = 0; key < KEY_COUNT; key++)
        if (is_word(name, keys[key].name))
            return key;
    return -1;
}

/* Stores the raw value of each key in values; .text is NULL for an absent key. */
static int split(const char *line, size_t length, struct word values[KEY_COUNT],
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
        key = find_key((struct word){word.text, (size_t)(equals - word.text)});
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

static int parse_op(struct word value, bool *ret_write, struct fault *fault)
{
    *ret_write = is_word(value, "write");
    if (!*ret_write && !is_word(value, "read"))
        return bad(fault, "op=%.*s: must be read or write", quoted(value.length), value.text);
    return 0;
}

static int parse_numbers(const struct word values[KEY_COUNT], uint64_t numbers[KEY_COUNT],
                         struct fault *fault)
{
    for (int key = 0; key < KEY_COUNT; key++) {
        struct word value = values[key];

        numbers[key] = keys[key].preset;
        if (key == KEY_OP || !value.text)
            continue;
        if (!request_number(value.text, value.length, &numbers[key]) ||
            numbers[key] < keys[key].low || numbers[key] > keys[key].high)
            return bad(fault, "%s=%.*s: must be a decimal integer from %" PRIu64 " to %" PRIu64,
                       keys[key].name, quoted(value.length), value.text, keys[key].low,
                       keys[key].high);
    }
    return 0;
}

static int check(const struct request *request, const struct request_limits *limits,
                 struct fault *fault)
{
    uint64_t share_unit = request->io_parallelism * limits->alignment;

    if (request->write && !limits->allow_write)
        return bad(fault, "op=write: writes are not allowed; start aio-sweep with --allow-write");
    if (request->block_size % limits->alignment != 0)
        return bad(fault,
                   "block_size=%" PRIu32 ": not a multiple of the target's I/O alignment, %" PRIu64
                   " bytes",
                   request->block_size, limits->alignment);
    if (request->transfer_bytes > limits->max_transfer_bytes)
        return bad(fault, "transfer_bytes=%" PRIu64 ": more than --max-transfer-bytes, %" PRIu64,
                   request->transfer_bytes, limits->max_transfer_bytes);
    if (request->transfer_bytes % share_unit != 0)
        return bad(fault,
                   "transfer_bytes=%" PRIu64 ": not a multiple of io_parallelism times the "
                   "target's I/O alignment, %" PRIu32 " x %" PRIu64 " = %" PRIu64 " bytes",
                   request->transfer_bytes, request->io_parallelism, limits->alignment, share_unit);
    return 0;
}

int request_parse(const char *line, size_t length, const struct request_limits *limits,
                  struct request *ret, struct fault *fault)
{
    struct word values[KEY_COUNT] = {{NULL, 0}};
    uint64_t numbers[KEY_COUNT];
    struct request request;

    if (split(line, length, values, fault) < 0)
        return -1;
    if (parse_op(values[KEY_OP], &request.write, fault) < 0)
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
