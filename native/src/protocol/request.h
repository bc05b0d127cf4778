/* Parses one request line of PROTOCOL.md section 3. */
#ifndef AIO_SWEEP_REQUEST_H
#define AIO_SWEEP_REQUEST_H

#include "protocol/fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_MAX_LINE        1023
#define REQUEST_MAX_TRANSFERS   65536
#define REQUEST_MAX_PARALLELISM 64

enum request_drop { REQUEST_DROP_BY_POLICY, REQUEST_DROP_NO, REQUEST_DROP_YES };

struct request {
    uint64_t id;
    bool write;
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
};

struct request_limits {
    uint64_t alignment;
    uint64_t max_transfer_bytes;
    bool allow_write;
};

/* Parses `length` bytes (no newline). Returns 0, or -1 with a fault of code 65 that names key,
 * value and remedy. */
int request_parse(const char *line, size_t length, const struct request_limits *limits,
                  struct request *ret, struct fault *fault);

/* Finds the id of a line that may otherwise be invalid, for its error. Returns false if there is no
 * id. */
bool request_find_id(const char *line, size_t length, uint64_t *ret_id);

/* Parses plain decimal digits. Returns false on anything else and on overflow of 63 bits. */
bool request_number(const char *text, size_t length, uint64_t *ret);

#endif
