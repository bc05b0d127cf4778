/* Parses one request line of PROTOCOL.md section 3. */
#ifndef AIO_SWEEP_REQUEST_H
#define AIO_SWEEP_REQUEST_H

#include "io/buffer.h"
#include "io/team.h"
#include "protocol/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_MAX_LINE      1023
#define REQUEST_MAX_TRANSFERS 65536

enum request_drop { REQUEST_DROP_BY_POLICY, REQUEST_DROP_NO, REQUEST_DROP_YES };

struct request {
    uint64_t id;
    enum direction direction;
    unsigned read_percent; /* of DIRECTION_MIXED */
    uint32_t block_size;
    uint32_t queue_depth;
    uint32_t io_parallelism;
    bool overlap_events;
    bool single_submit;
    uint64_t transfer_bytes;
    uint64_t min_ns;
    uint64_t min_transfers;
    uint64_t max_bytes; /* 0: no limit */
    enum request_drop drop_caches;
    enum engine_kind engine;
    bool random;
    uint64_t seed;
    bool has_memory;
    enum buffer_pages memory; /* if has_memory; else the buffer of the run */
    uint32_t groups;
    bool new_file;
    bool fixed_buffers;
    uint64_t max_foreign_bytes; /* 0: no limit */
};

struct request_limits {
    uint64_t alignment;
    uint64_t max_transfer_bytes;
    bool allow_write;
    bool new_file;                /* the target has a second file */
    unsigned protocol;            /* 1: the keys of version 2 are unknown */
    const char *const *no_engine; /* why each cannot be used, or ""; NULL: all can */
};

static inline bool request_writes(const struct request *request)
{
    return request->direction != DIRECTION_READ;
}

static inline bool request_reads(const struct request *request)
{
    return request->direction != DIRECTION_WRITE;
}

/* Returns "read", "write" or "mixed". */
const char *request_op(const struct request *request);

/* Parses `length` bytes, without the newline. Returns 0, or -1 with FAULT_REQUEST. */
int request_parse(const char *line, size_t length, const struct request_limits *limits,
                  struct request *ret, struct fault *fault);

/* Finds the id of a line that may be invalid, for its error line. Returns false without an id. */
bool request_find_id(const char *line, size_t length, uint64_t *ret_id);

/* Parses decimal digits. Returns false for any other character, and above 2^63-1. */
bool request_number(const char *text, size_t length, uint64_t *ret);

#endif
