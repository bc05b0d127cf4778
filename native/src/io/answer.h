/* The results of a point, and its line of PROTOCOL.md section 4. */
#ifndef AIO_SWEEP_ANSWER_H
#define AIO_SWEEP_ANSWER_H

#include "context.h"
#include "io/team.h"
#include "io/usage.h"
#include "protocol/request.h"

struct point {
    uint64_t transfers, elapsed_ns;
    uint64_t read_bytes, written_bytes;
    uint64_t groups_ns[TEAM_MAX_GROUPS];
    struct usage used;
    uint64_t preparing_ns; /* CPU time between the transfers */
    unsigned io_workers;
    bool dropped, counted;
    uint64_t resident_bytes, passing_bytes;
    struct counters_reading moved;
    struct engine_stats stats;
};

/* received_ns is the time at which the request line was read. */
void answer_write(struct context *context, const struct request *request, uint64_t received_ns,
                  const struct buffer *buffer, const struct point *point);

#endif
