/* Parses the command line of PROTOCOL.md section 1. The caller prints --help and --version. */
#ifndef AIO_SWEEP_OPTIONS_H
#define AIO_SWEEP_OPTIONS_H

#include "io/buffer.h"
#include "io/stamp.h"
#include "protocol/fault.h"

#include <stdbool.h>
#include <stdint.h>

enum target_kind { TARGET_NONE, TARGET_SCRATCH, TARGET_FILE, TARGET_DEVICE };
enum drop_policy { DROP_AUTO, DROP_ALWAYS, DROP_FILE, DROP_NEVER };

struct options {
    enum target_kind kind;
    const char *path;
    uint64_t span_bytes;
    uint64_t offset_bytes;
    uint64_t max_transfer_bytes;
    bool nocow;
    uint64_t min_free_bytes; /* 0: do not check the free space */
    uint64_t ballast_bytes;  /* most memory that is taken while the buffer is allocated */
    bool allow_write;
    bool trim;
    enum drop_policy drop_caches;
    enum buffer_pages buffer;
    unsigned protocol;         /* version of PROTOCOL.md: 1 or 2 */
    const char *counters;      /* NULL: those of the target's device */
    const char *expect_device; /* a valid list of MAJ:MIN; NULL: any device */
    const char *proc;          /* root of the procfs to search */
    bool has_key, erase;
    struct stamp_key key;
    bool has_diskseq;
    uint64_t expect_diskseq;
    bool help, version; /* with either, no other option is checked */
};

extern const char options_usage[];

/* Parses argv into *ret, whose strings point into argv. Returns 0, or -1 with FAULT_USAGE. */
int options_parse(int argc, char *const argv[], struct options *ret, struct fault *fault);

const char *options_kind_name(enum target_kind kind);
const char *options_policy_name(enum drop_policy policy);

/* Parses "consumer", "huge" or "hugetlb". Returns false for any other text. */
bool options_pages(const char *text, size_t length, enum buffer_pages *ret);

#endif
