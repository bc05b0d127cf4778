#include "check.h"
#include "protocol/options.h"

#include <stdlib.h>

#define SIZES "--span-bytes=8192", "--max-transfer-bytes=4096"

static const struct {
    const char *message; /* a part of it; NULL: valid */
    const char *words[9];
} table[] = {
    {NULL, {"--scratch=/d", SIZES}},
    {NULL, {"--file", "/f", SIZES, "--offset-bytes", "512", "--allow-write"}},
    {NULL, {"--device=/dev/x", SIZES, "--drop-caches=never", "--counters=/s"}},
    {NULL, {"--scratch=/d", SIZES, "--nocow"}},
    {NULL, {"--help", "--span-bytes=1"}},
    {NULL, {"--version"}},
    {NULL, {"--file=/f", SIZES, "--expect-device=259:1,0:45", "--expect-diskseq=7"}},
    {"must be MAJ:MIN", {"--file=/f", SIZES, "--expect-device=259"}},
    {"must be MAJ:MIN", {"--file=/f", SIZES, "--expect-device=259:1,"}},
    {"must be MAJ:MIN", {"--file=/f", SIZES, "--expect-device=,259:1"}},
    {"must be MAJ:MIN", {"--file=/f", SIZES, "--expect-device=259:-1"}},
    {"must be MAJ:MIN", {"--file=/f", SIZES, "--expect-device=4294967296:0"}},
    {"plain decimal number", {"--file=/f", SIZES, "--expect-diskseq=0x7"}},
    {NULL, {"--scratch=/d", SIZES, "--min-free-bytes=4096"}},
    {"--min-free-bytes: applies to --scratch only", {"--file=/f", SIZES, "--min-free-bytes=4096"}},
    {"plain decimal bytes", {"--scratch=/d", SIZES, "--min-free-bytes=10G"}},
    {NULL,
     {"--device=/d", SIZES, "--allow-write", "--key=0123456789abcdef0123456789abcdef", "--erase"}},
    {"32 hexadecimal digits", {"--device=/d", SIZES, "--key=0123"}},
    {"needs --device, --key and --allow-write", {"--device=/d", SIZES, "--erase"}},
    {"needs --device, --key and --allow-write",
     {"--file=/d", SIZES, "--allow-write", "--key=0123456789abcdef0123456789abcdef", "--erase"}},
    {"no target; give --scratch", {SIZES}},
    {"--file: a second target", {"--scratch=/d", "--file=/f", SIZES}},
    {"unknown option", {"--scratch=/d", SIZES, "--quick"}},
    {"unknown option", {"--scratch=/d", SIZES, "--span=8192"}},
    {"unknown option", {"--scratch=/d", SIZES, "extra"}},
    {"unknown option", {"--scratch=/d", SIZES, "--"}},
    {"given twice", {"--scratch=/d", SIZES, "--span-bytes=1"}},
    {"given twice", {"--scratch=/d", "--scratch=/e", SIZES}},
    {"takes no value", {"--scratch=/d", SIZES, "--allow-write=1"}},
    {"needs a value", {"--scratch=/d", "--max-transfer-bytes=1", "--span-bytes"}},
    {"is empty", {"--scratch=", SIZES}},
    {"is empty", {"--scratch", "", SIZES}},
    {"--span-bytes: missing or 0", {"--scratch=/d", "--max-transfer-bytes=1"}},
    {"--max-transfer-bytes: missing or 0", {"--scratch=/d", "--span-bytes=1"}},
    {"must be at most --span-bytes", {"--scratch=/d", "--span-bytes=1", "--max-transfer-bytes=2"}},
    {"plain decimal bytes", {"--scratch=/d", "--span-bytes=1M", "--max-transfer-bytes=2"}},
    {"plain decimal bytes", {"--scratch=/d", "--span-bytes=-1", "--max-transfer-bytes=2"}},
    {"plain decimal bytes",
     {"--scratch=/d", "--span-bytes=99999999999999999999", "--max-transfer-bytes=2"}},
    {NULL, {"--scratch=/d", SIZES, "--trim"}},
    {"--trim: applies to --scratch only", {"--file=/f", SIZES, "--trim"}},
    {"--offset-bytes: not allowed with --scratch", {"--scratch=/d", SIZES, "--offset-bytes=0"}},
    {"--nocow: applies to --scratch only", {"--file=/f", SIZES, "--nocow"}},
    {"more than 2^63-1", {"--file=/f", SIZES, "--offset-bytes=9223372036854775807"}},
    {NULL, {"--scratch=/d", SIZES, "--drop-caches=file"}},
    {NULL, {"--scratch=/d", SIZES, "--buffer=huge"}},
    {NULL, {"--scratch=/d", SIZES, "--buffer=hugetlb"}},
    {NULL, {"--scratch=/d", SIZES, "--buffer=consumer", "--protocol=2"}},
    {NULL, {"--scratch=/d", SIZES, "--protocol=1"}},
    {"must be 1 or 2", {"--scratch=/d", SIZES, "--protocol=3"}},
    {"must be 1 or 2", {"--scratch=/d", SIZES, "--protocol=02"}},
    {"must be consumer, huge or hugetlb", {"--scratch=/d", SIZES, "--buffer=small"}},
    {"must be consumer, huge or hugetlb", {"--scratch=/d", SIZES, "--buffer=hug"}},
    {"must be auto, always, file or never", {"--file=/f", SIZES, "--drop-caches=sometimes"}},
};

int main(void)
{
    struct options options;
    struct fault fault;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *argv[12] = {(char *)"aio-sweep"};
        int argc = 1, r;

        for (; table[i].words[argc - 1]; argc++)
            argv[argc] = (char *)(uintptr_t)table[i].words[argc - 1];
        fault = (struct fault){0};
        r = options_parse(argc, argv, &options, &fault);
        if ((r == 0) != (table[i].message == NULL) ||
            (r < 0 && (fault.code != FAULT_USAGE || !strstr(fault.message, table[i].message)))) {
            check_failures++;
            (void)fprintf(stderr, "  row %zu -> %d \"%s\"\n", i, r, fault.message);
        }
    }
    {
        char *argv[] = {(char *)"aio-sweep",
                        (char *)"--file",
                        (char *)"/f",
                        (char *)"--span-bytes=8192",
                        (char *)"--offset-bytes=7",
                        (char *)"--max-transfer-bytes",
                        (char *)"4096",
                        (char *)"--allow-write",
                        (char *)"--buffer=hugetlb",
                        (char *)"--drop-caches",
                        (char *)"always"};

        CHECK(options_parse(11, argv, &options, &fault) == 0);
        CHECK(options.kind == TARGET_FILE && options.span_bytes == 8192);
        CHECK(options.offset_bytes == 7 && options.max_transfer_bytes == 4096);
        CHECK(options.allow_write && options.drop_caches == DROP_ALWAYS && !options.counters);
        CHECK(options.buffer == BUFFER_HUGETLB);
        CHECK_TEXT(options.path, "/f");
    }
    return check_result();
}
