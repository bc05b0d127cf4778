/* What the parts of one run share, from `hello` to `end`. */
#ifndef AIO_SWEEP_CONTEXT_H
#define AIO_SWEEP_CONTEXT_H

#include "io/buffer.h"
#include "protocol/emit.h"
#include "protocol/options.h"
#include "target/counters.h"
#include "target/nodes.h"
#include "target/opened.h"
#include "target/pagecache.h"
#include "target/space.h"
#include "target/target.h"
#include "watch.h"

struct team;

/* The result of one step of a run. Anything but STEP_OK ends the run. */
enum step_result {
    STEP_FAILED = -1, /* the fault gives the reason */
    STEP_OK = 0,
    STEP_STOPPED = 1, /* by a signal, or because nobody reads our output any more */
};

/* What the span of a written device holds. */
enum span_state {
    SPAN_CLEAN, /* nothing of ours */
    SPAN_DIRTY, /* our random data, to be zeroed */
    SPAN_LEFT,  /* our random data, which is not zeroed, because others may have written there */
};

struct context {
    const struct options *options;
    struct emit emit;
    struct watch watch;
    struct target target;
    struct buffer buffer;
    struct space space;
    struct team *team;
    struct pagecache cache;
    struct counters counters;
    uint64_t *transfers_ns; /* room for the largest number of transfers of a point */
    uint64_t start_ns;
    uint64_t fill_bytes, fill_ns;
    enum span_state span_state;
    /* Of a device to be written: */
    struct nodes nodes;
    struct opened opened;
    struct counters_reading claimed; /* before anything was read or written */
    bool intruded;                   /* somebody has opened it */
    uint64_t cursor; /* offset in the span at which the next transfer starts */
    uint64_t points, bytes_read, bytes_written, bytes_trimmed;
};

#endif
