#include "io/point.h"

#include "clock.h"
#include "io/move.h"
#include "target/cachewatch.h"
#include "target/exclusive.h"

#include <sys/resource.h>

/* The results of one point. */
struct point {
    uint64_t transfers, elapsed_ns;
    uint64_t cpu_user_ns, cpu_system_ns;
    bool dropped, counted;
    uint64_t resident_bytes, passing_bytes;
    struct counters_reading moved;
    struct engine_stats stats;
};

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * 1000;
}

struct evict_work {
    struct context *context;
    const struct pagecache_span *span;
    bool write, dropped;
    enum eviction how;
};

static struct pagecache_span cached_span(const struct context *context)
{
    return (struct pagecache_span){.fd = context->target.fd,
                                   .device = context->target.kind == TARGET_DEVICE,
                                   .offset = context->target.offset,
                                   .bytes = context->target.span};
}

static void evict(void *argument)
{
    struct evict_work *work = argument;

    work->dropped = pagecache_evict(&work->context->cache, work->span, work->write, work->how);
}

/* Evicts the span from the page cache. A sync may take minutes on a busy host, hence the ticks. */
static void prepare_cache(struct context *context, const struct request *request,
                          const struct phase *phase, struct point *point)
{
    const struct pagecache_span span = cached_span(context);
    struct evict_work work = {.context = context, .span = &span, .write = request->write};

    if (pagecache_resident(context->cache.residency, &span, &point->resident_bytes) < 0)
        point->resident_bytes = 0;
    work.how = pagecache_plan(&context->cache, request->write, request->drop_caches,
                              point->resident_bytes);
    if (work.how == EVICT_CLEAN)
        evict(&work);
    else
        move_run_with_ticks(context, evict, &work, phase);
    point->dropped = work.dropped;
}

/* Renews the random data before a write: after a read the buffer holds the device's content, which
 * may be compressible. */
static void prepare_buffer(struct context *context, const struct request *request)
{
    if (!request->write) {
        context->buffer.random = false;
        return;
    }
    if (!context->buffer.random)
        buffer_fill(&context->buffer, clock_now_ns());
    buffer_stamp(&context->buffer, request->transfer_bytes, clock_now_ns());
}

static bool wants_more(const struct request *request, const struct point *point)
{
    uint64_t next_bytes = (point->transfers + 1) * request->transfer_bytes;

    if (point->transfers == 0)
        return true;
    if (point->transfers == REQUEST_MAX_TRANSFERS)
        return false;
    if (request->max_bytes > 0 && next_bytes > request->max_bytes)
        return false;
    return point->transfers < request->min_transfers || point->elapsed_ns < request->min_ns;
}

/* Returns the offset in the span at which the next transfer starts. */
static uint64_t next_cursor(const struct context *context, uint64_t transfer_bytes)
{
    return context->cursor > context->target.span - transfer_bytes ? 0 : context->cursor;
}

static enum step_result move_all(struct context *context, const struct request *request,
                                 struct phase *phase, struct point *point, struct fault *fault)
{
    struct transfer transfer = {
        .fd = context->target.fd,
        .write = request->write,
        .allow_write = context->options->allow_write,
        .overlap = request->overlap_events,
        .single = request->single_submit,
        .block_size = request->block_size,
        .queue_depth = request->queue_depth,
        .threads = request->io_parallelism,
        .buffer = context->buffer.data,
        .bytes = request->transfer_bytes,
    };

    while (wants_more(request, point)) {
        enum step_result step;
        uint64_t elapsed_ns;

        if (request->write && exclusive_check(context, fault) != STEP_OK)
            return STEP_FAILED;
        context->cursor = next_cursor(context, transfer.bytes);
        transfer.file_offset = context->target.offset + context->cursor;
        step = move_transfer(context, &transfer, phase, &elapsed_ns, fault);
        if (step != STEP_OK)
            return step;
        context->cursor += transfer.bytes;
        context->transfers_ns[point->transfers++] = elapsed_ns;
        point->elapsed_ns += elapsed_ns;
        phase->done += transfer.bytes;
        if (context->watch.stopped || context->emit.error)
            return STEP_STOPPED;
    }
    return STEP_OK;
}

/* Runs the transfers, and reads CPU times and counters immediately before and after them. */
static enum step_result measure(struct context *context, const struct request *request,
                                struct phase *phase, struct point *point, struct fault *fault)
{
    struct counters_reading before = {0}, after = {0};
    struct rusage usage_before, usage_after;
    const struct pagecache_span span = cached_span(context);
    struct cachewatch watch = {.stop_fd = -1};
    enum step_result step;

    if (team_prepare(context->team, request->io_parallelism, request->queue_depth, fault) < 0)
        return STEP_FAILED;
    point->counted = context->counters.live && counters_read(&context->counters, &before) == 0;
    /* Only the scratch file: other processes may read a file or device into the page cache. */
    if (context->target.kind == TARGET_SCRATCH)
        cachewatch_start(&watch, context->cache.residency, &span,
                         span.offset + next_cursor(context, request->transfer_bytes));
    (void)getrusage(RUSAGE_SELF, &usage_before);
    step = move_all(context, request, phase, point, fault);
    (void)getrusage(RUSAGE_SELF, &usage_after);
    point->passing_bytes = cachewatch_stop(&watch);
    if (step != STEP_OK)
        return step;
    if (point->counted && counters_read(&context->counters, &after) == 0) {
        point->moved.read_bytes = after.read_bytes - before.read_bytes;
        point->moved.write_bytes = after.write_bytes - before.write_bytes;
    } else {
        point->counted = false;
    }
    point->cpu_user_ns = timeval_ns(usage_after.ru_utime) - timeval_ns(usage_before.ru_utime);
    point->cpu_system_ns = timeval_ns(usage_after.ru_stime) - timeval_ns(usage_before.ru_stime);
    team_sum(context->team, &point->stats);
    return STEP_OK;
}

static void answer(struct context *context, const struct request *request, uint64_t received_ns,
                   const struct point *point)
{
    const struct engine_stats *stats = &point->stats;
    uint64_t bytes = point->transfers * request->transfer_bytes;
    uint64_t moved = request->write ? point->moved.write_bytes : point->moved.read_bytes;
    struct emit *emit = &context->emit;

    emit_begin(emit, "point");
    emit_uint(emit, "id", request->id);
    emit_string(emit, "op", request->write ? "write" : "read");
    emit_uints(emit, "transfers_ns", context->transfers_ns, point->transfers);
    emit_uint(emit, "transfer_bytes", request->transfer_bytes);
    emit_uint(emit, "bytes", bytes);
    emit_uint(emit, "elapsed_ns", point->elapsed_ns);
    emit_uint(emit, "wall_ns", clock_now_ns() - received_ns);
    emit_uint(emit, "requests", stats->requests);
    emit_uint(emit, "submits", stats->submits);
    emit_uint(emit, "reaps", stats->reaps);
    emit_enter(emit, "latency_ns");
    emit_uint(emit, "p50", hist_quantile(&stats->latency, 500));
    emit_uint(emit, "p90", hist_quantile(&stats->latency, 900));
    emit_uint(emit, "p99", hist_quantile(&stats->latency, 990));
    emit_uint(emit, "p999", hist_quantile(&stats->latency, 999));
    emit_uint(emit, "max", stats->latency.max);
    emit_leave(emit);
    emit_uint(emit, "cpu_user_ns", point->cpu_user_ns);
    emit_uint(emit, "cpu_system_ns", point->cpu_system_ns);
    emit_enter(emit, "cache");
    emit_bool(emit, "dropped", point->dropped);
    emit_uint(emit, "resident_bytes", point->resident_bytes);
    emit_uint(emit, "passing_bytes", point->passing_bytes);
    emit_string(emit, "verdict", !point->counted ? "unknown" : moved >= bytes ? "device" : "cache");
    emit_leave(emit);
    emit_enter(emit, "counters");
    emit_uint(emit, "read_bytes", point->moved.read_bytes);
    emit_uint(emit, "write_bytes", point->moved.write_bytes);
    emit_leave(emit);
    (void)emit_send(emit);
}

enum step_result point_run(struct context *context, const struct request *request,
                           uint64_t received_ns, struct fault *fault)
{
    struct point point = {0};
    struct phase phase = {.name = "point", .id = &request->id, .stop_on_signal = true};
    enum step_result step;

    if (request->min_ns == 0) {
        phase.total = request->min_transfers * request->transfer_bytes;
        if (request->max_bytes > 0 && phase.total > request->max_bytes)
            phase.total = request->max_bytes / request->transfer_bytes * request->transfer_bytes;
        if (phase.total == 0)
            phase.total = request->transfer_bytes;
    }
    prepare_cache(context, request, &phase, &point);
    prepare_buffer(context, request);
    step = measure(context, request, &phase, &point, fault);
    if (step != STEP_OK)
        return step;
    context->points++;
    answer(context, request, received_ns, &point);
    return STEP_OK;
}
