#include "protocol/options.h"

#include "protocol/request.h"
#include "target/identity.h"

#include <inttypes.h>
#include <string.h>

const char options_usage[] =
    "usage: aio-sweep TARGET --span-bytes=N --max-transfer-bytes=N [OPTION...]\n"
    "\n"
    "Time transfers through Linux AIO: read one request per line from standard input,\n"
    "answer each in JSON lines on standard output (native/PROTOCOL.md of aio-tuned).\n"
    "\n"
    "target, exactly one of\n"
    "  --scratch=DIR           unlinked scratch file in DIR, filled before the first request\n"
    "  --file=PATH             existing regular file\n"
    "  --device=PATH           block device; written only if blank and with --allow-write\n"
    "\n"
    "required\n"
    "  --span-bytes=N          bytes of the target to use\n"
    "  --max-transfer-bytes=N  size of the I/O buffer, the largest transfer\n"
    "\n"
    "options\n"
    "  --offset-bytes=N        start of the span in a file or device (default: 0)\n"
    "  --nocow                 scratch file without copy-on-write, as by chattr +C (btrfs)\n"
    "  --allow-write           write requests allowed: THE CONTENT OF THE SPAN IS OVERWRITTEN\n"
    "  --trim                  discard of the scratch file's blocks at the end (FITRIM)\n"
    "  --drop-caches=POLICY    page cache policy: auto (default), always, file, never\n"
    "  --buffer=PAGES          buffer memory: consumer (default), huge, hugetlb\n"
    "  --min-free-bytes=N      free space below which to delete the scratch file (default: 0)\n"
    "  --ballast-bytes=N       memory to take while the buffer is allocated (default: 0)\n"
    "  --counters=PATH,...     stat files that prove the I/O (default: of the target)\n"
    "  --expect-device=M:m,... device numbers the target may be on (default: any)\n"
    "  --expect-diskseq=N      disk sequence number the target must have (default: any)\n"
    "  --proc=DIR              procfs to search for users of the device (default: /proc)\n"
    "  --key=HEX               mark for the sectors written to a device, 32 hex digits\n"
    "  --erase                 zero the sectors marked with --key, then exit\n"
    "  --protocol=N            version of the protocol, 1 (default) or 2\n"
    "  --help, --version       print and exit\n"
    "\n"
    "exit codes: 0 success, 64 usage, 65 bad request, 66 target missing or unsuitable,\n"
    "69 target busy or not blank, 71 out of system resources, 74 I/O error or no space,\n"
    "75 below --min-free-bytes, try again later\n";

#define bad(fault, ...) fault_set(fault, FAULT_USAGE, "usage", 0, __VA_ARGS__)

enum option {
    OPT_SCRATCH,
    OPT_FILE,
    OPT_DEVICE,
    OPT_SPAN,
    OPT_OFFSET,
    OPT_MAX_TRANSFER,
    OPT_NOCOW,
    OPT_MIN_FREE,
    OPT_BALLAST,
    OPT_ALLOW_WRITE,
    OPT_TRIM,
    OPT_DROP_CACHES,
    OPT_BUFFER,
    OPT_PROTOCOL,
    OPT_COUNTERS,
    OPT_EXPECT_DEVICE,
    OPT_EXPECT_DISKSEQ,
    OPT_PROC,
    OPT_KEY,
    OPT_ERASE,
    OPT_HELP,
    OPT_VERSION,
    OPT_COUNT,
};

static const struct {
    const char *name;
    bool takes_value;
} table[OPT_COUNT] = {
    [OPT_SCRATCH] = {"--scratch", true},
    [OPT_FILE] = {"--file", true},
    [OPT_DEVICE] = {"--device", true},
    [OPT_SPAN] = {"--span-bytes", true},
    [OPT_OFFSET] = {"--offset-bytes", true},
    [OPT_MAX_TRANSFER] = {"--max-transfer-bytes", true},
    [OPT_NOCOW] = {"--nocow", false},
    [OPT_MIN_FREE] = {"--min-free-bytes", true},
    [OPT_BALLAST] = {"--ballast-bytes", true},
    [OPT_ALLOW_WRITE] = {"--allow-write", false},
    [OPT_TRIM] = {"--trim", false},
    [OPT_DROP_CACHES] = {"--drop-caches", true},
    [OPT_BUFFER] = {"--buffer", true},
    [OPT_PROTOCOL] = {"--protocol", true},
    [OPT_COUNTERS] = {"--counters", true},
    [OPT_EXPECT_DEVICE] = {"--expect-device", true},
    [OPT_EXPECT_DISKSEQ] = {"--expect-diskseq", true},
    [OPT_PROC] = {"--proc", true},
    [OPT_KEY] = {"--key", true},
    [OPT_ERASE] = {"--erase", false},
    [OPT_HELP] = {"--help", false},
    [OPT_VERSION] = {"--version", false},
};

const char *options_kind_name(enum target_kind kind)
{
    static const char *const names[] = {"", "scratch", "file", "device"};

    return names[kind];
}

const char *options_policy_name(enum drop_policy policy)
{
    static const char *const names[] = {"auto", "always", "file", "never"};

    return names[policy];
}

bool options_pages(const char *text, size_t length, enum buffer_pages *ret)
{
    static const char *const names[] = {"consumer", "huge", "hugetlb"};

    for (int pages = BUFFER_CONSUMER; pages <= BUFFER_HUGETLB; pages++) {
        if (strlen(names[pages]) == length && memcmp(names[pages], text, length) == 0) {
            *ret = (enum buffer_pages)pages;
            return true;
        }
    }
    return false;
}

/* Stores the raw value of each option in values: NULL if absent, "" for a flag. */
static int split(int argc, char *const argv[], const char *values[OPT_COUNT], struct fault *fault)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *equals = strchr(word, '=');
        size_t length = equals ? (size_t)(equals - word) : strlen(word);
        int option = 0;

        while (option < OPT_COUNT && (strlen(table[option].name) != length ||
                                      memcmp(table[option].name, word, length) != 0))
            option++;
        if (option == OPT_COUNT)
            return bad(fault, "%s: unknown option or argument; see --help", word);
        if (values[option])
            return bad(fault, "%s: given twice", table[option].name);
        if (!table[option].takes_value) {
            if (equals)
                return bad(fault, "%s: takes no value", word);
            values[option] = "";
            continue;
        }
        if (equals)
            values[option] = equals + 1;
        else if (i + 1 < argc)
            values[option] = argv[++i];
        else
            return bad(fault, "%s: needs a value", word);
        if (values[option][0] == '\0')
            return bad(fault, "%s: the value is empty", table[option].name);
    }
    return 0;
}

static int parse_size(const char *const values[OPT_COUNT], enum option option, uint64_t preset,
                      uint64_t *ret, struct fault *fault)
{
    const char *text = values[option];

    *ret = preset;
    if (text && !request_number(text, strlen(text), ret))
        return bad(fault, "%s=%s: must be plain decimal bytes, without a suffix",
                   table[option].name, text);
    return 0;
}

static int parse_target(const char *const values[OPT_COUNT], struct options *options,
                        struct fault *fault)
{
    static const struct {
        enum option option;
        enum target_kind kind;
    } targets[] = {
        {OPT_SCRATCH, TARGET_SCRATCH}, {OPT_FILE, TARGET_FILE}, {OPT_DEVICE, TARGET_DEVICE}};

    for (size_t i = 0; i < 3; i++) {
        if (!values[targets[i].option])
            continue;
        if (options->kind != TARGET_NONE)
            return bad(fault,
                       "%s: a second target; give exactly one of --scratch, --file, --device",
                       table[targets[i].option].name);
        options->kind = targets[i].kind;
        options->path = values[targets[i].option];
    }
    if (options->kind == TARGET_NONE)
        return bad(fault, "no target; give --scratch=DIR, --file=PATH or --device=PATH");
    return 0;
}

static int parse_policy(const char *text, enum drop_policy *ret, struct fault *fault)
{
    *ret = DROP_AUTO;
    if (!text)
        return 0;
    for (int policy = DROP_AUTO; policy <= DROP_NEVER; policy++) {
        if (strcmp(text, options_policy_name((enum drop_policy)policy)) == 0) {
            *ret = (enum drop_policy)policy;
            return 0;
        }
    }
    return bad(fault, "--drop-caches=%s: must be auto, always, file or never", text);
}

static int parse_buffer(const char *text, enum buffer_pages *ret, struct fault *fault)
{
    *ret = BUFFER_CONSUMER;
    if (text && !options_pages(text, strlen(text), ret))
        return bad(fault, "--buffer=%s: must be consumer, huge or hugetlb", text);
    return 0;
}

static int parse_protocol(const char *text, unsigned *ret, struct fault *fault)
{
    *ret = 1;
    if (text && strcmp(text, "2") == 0)
        *ret = 2;
    else if (text && strcmp(text, "1") != 0)
        return bad(fault, "--protocol=%s: must be 1 or 2; install a newer aio-sweep for others",
                   text);
    return 0;
}

static int parse_identity(const char *const values[OPT_COUNT], struct options *options,
                          struct fault *fault)
{
    const char *list = values[OPT_EXPECT_DEVICE], *diskseq = values[OPT_EXPECT_DISKSEQ];
    dev_t one;

    options->expect_device = list;
    while (list && *list)
        if (!identity_next(&list, &one))
            return bad(fault, "--expect-device=%s: must be MAJ:MIN, or several separated by commas",
                       options->expect_device);
    options->has_diskseq = diskseq != NULL;
    if (diskseq && !request_number(diskseq, strlen(diskseq), &options->expect_diskseq))
        return bad(fault, "--expect-diskseq=%s: must be a plain decimal number", diskseq);
    return 0;
}

static int parse_key(const char *const values[OPT_COUNT], struct options *options,
                     struct fault *fault)
{
    const char *key = values[OPT_KEY];

    options->has_key = key != NULL;
    options->erase = values[OPT_ERASE] != NULL;
    if (key && !stamp_parse_key(key, &options->key))
        return bad(fault, "--key=%s: must be 32 hexadecimal digits, in lower case", key);
    if (options->erase &&
        (!key || options->kind != TARGET_DEVICE || values[OPT_ALLOW_WRITE] == NULL))
        return bad(fault, "--erase: needs --device, --key and --allow-write");
    return 0;
}

int options_parse(int argc, char *const argv[], struct options *ret, struct fault *fault)
{
    const char *values[OPT_COUNT] = {NULL};
    struct options options = {.kind = TARGET_NONE};

    if (split(argc, argv, values, fault) < 0)
        return -1;
    options.help = values[OPT_HELP] != NULL;
    options.version = values[OPT_VERSION] != NULL;
    if (options.help || options.version)
        goto out;
    if (parse_target(values, &options, fault) < 0)
        return -1;
    if (parse_size(values, OPT_SPAN, 0, &options.span_bytes, fault) < 0)
        return -1;
    if (parse_size(values, OPT_OFFSET, 0, &options.offset_bytes, fault) < 0)
        return -1;
    if (parse_size(values, OPT_MAX_TRANSFER, 0, &options.max_transfer_bytes, fault) < 0)
        return -1;
    if (parse_size(values, OPT_MIN_FREE, 0, &options.min_free_bytes, fault) < 0)
        return -1;
    if (parse_size(values, OPT_BALLAST, 0, &options.ballast_bytes, fault) < 0)
        return -1;
    if (parse_policy(values[OPT_DROP_CACHES], &options.drop_caches, fault) < 0)
        return -1;
    if (parse_buffer(values[OPT_BUFFER], &options.buffer, fault) < 0)
        return -1;
    if (parse_protocol(values[OPT_PROTOCOL], &options.protocol, fault) < 0)
        return -1;
    if (parse_key(values, &options, fault) < 0)
        return -1;
    if (parse_identity(values, &options, fault) < 0)
        return -1;
    options.nocow = values[OPT_NOCOW] != NULL;
    options.allow_write = values[OPT_ALLOW_WRITE] != NULL;
    options.trim = values[OPT_TRIM] != NULL;
    options.proc = values[OPT_PROC] ? values[OPT_PROC] : "/proc";
    options.counters = values[OPT_COUNTERS];

    if (options.span_bytes == 0)
        return bad(fault, "--span-bytes: missing or 0; give a number of bytes");
    if (options.max_transfer_bytes == 0)
        return bad(fault, "--max-transfer-bytes: missing or 0; give a number of bytes");
    if (options.max_transfer_bytes > options.span_bytes)
        return bad(fault,
                   "--max-transfer-bytes=%" PRIu64 ": must be at most --span-bytes, %" PRIu64,
                   options.max_transfer_bytes, options.span_bytes);
    if (values[OPT_OFFSET] && options.kind == TARGET_SCRATCH)
        return bad(fault, "--offset-bytes: not allowed with --scratch; omit it");
    if (options.nocow && options.kind != TARGET_SCRATCH)
        return bad(fault, "--nocow: applies to --scratch only; omit it");
    if (options.trim && options.kind != TARGET_SCRATCH)
        return bad(fault, "--trim: applies to --scratch only; omit it");
    if (values[OPT_MIN_FREE] && options.kind != TARGET_SCRATCH)
        return bad(fault, "--min-free-bytes: applies to --scratch only; omit it");
    if (options.offset_bytes > INT64_MAX - options.span_bytes)
        return bad(fault,
                   "--offset-bytes plus --span-bytes: more than 2^63-1; give smaller values");
out:
    *ret = options;
    return 0;
}
