/* The state of one run, shared by its parts. */
#ifndef AIO_SWEEP_CONTEXT_H
#define AIO_SWEEP_CONTEXT_H

#include "io/buffer.h"
#include "io/page_sizes.h"
#include "io/shuffles.h"
#include "protocol/emit.h"
#include "protocol/options.h"
#include "target/counters.h"
#include "target/nodes.h"
#include "target/opened.h"
#include "target/pagecache.h"
#include "target/space.h"
#include "target/target.h"
#include "target/trim.h"
#include "watch.h"

struct team;

/* The result of one step of a run. Anything but STEP_OK ends the run. */
enum step_result {
    STEP_FAILED = -1, /* the fault gives the reason */
    STEP_OK = 0,
    STEP_STOPPED = 1, /* by a signal, or because standard output was closed */
};

/* The content of a written device's span. */
enum span_state {
    SPAN_CLEAN, /* no data of this run */
    SPAN_DIRTY, /* random data, to be zeroed */
    SPAN_LEFT,  /* random data that is not zeroed, because other processes may have written there */
};

struct context {
    const struct options *options;
    struct emit emit;
    struct watch watch;
    struct target target;
    struct page_sizes page_sizes;
    struct buffer buffer;
    struct buffer memories[BUFFER_HUGETLB + 1]; /* of requests that name their memory */
    struct space space;
    struct team *team;
    struct pagecache cache;
    struct counters counters;
    uint64_t *transfers_ns, *returns_ns; /* REQUEST_MAX_TRANSFERS of each */
    char no_engine[ENGINE_KINDS][256];   /* why each cannot be used, or "" */
    struct shuffles shuffles;
    struct trim trim;
    uint64_t start_ns;
    uint64_t fill_bytes, fill_ns;
    enum span_state span_state;
    /* The following four are of a device to be written. */
    struct nodes nodes;
    struct opened opened;
    struct counters_reading claimed; /* before the first read or write */
    bool intruded;                   /* another process has opened it */
    uint64_t cursor;                 /* offset in the span at which the next transfer starts */
    uint64_t points, bytes_read, bytes_written, bytes_trimmed;
};

#endif
