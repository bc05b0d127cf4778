#include "io/answer.h"

#include "clock.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

static uint64_t median(uint64_t *values, uint64_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}

/* Returns whether the device moved all bytes of the point. */
static const char *verdict(const struct point *point)
{
    if (!point->counted)
        return "unknown";
    return point->moved.read.bytes >= point->read_bytes &&
                   point->moved.write.bytes >= point->written_bytes
               ? "device"
               : "cache";
}

void answer_write(struct context *context, const struct request *request, uint64_t received_ns,
                  const struct buffer *buffer, const struct point *point)
{
    const struct engine_stats *stats = &point->stats;
    const struct counters_part *moved_read = &point->moved.read, *moved_write = &point->moved.write;
    uint64_t reads = request_reads(request), writes = request_writes(request);
    struct emit *emit = &context->emit;

    emit_begin(emit, "point");
    emit_uint(emit, "id", request->id);
    emit_string(emit, "op", request_op(request));
    emit_uints(emit, "transfers_ns", context->transfers_ns, point->transfers);
    emit_uint(emit, "transfer_bytes", request->transfer_bytes);
    emit_uint(emit, "bytes", point->transfers * request->transfer_bytes);
    emit_uint(emit, "written_bytes", point->written_bytes);
    emit_uint(emit, "elapsed_ns", point->elapsed_ns);
    emit_uint(emit, "wall_ns", clock_now_ns() - received_ns);
    emit_uint(emit, "requests", stats->requests);
    emit_uint(emit, "submits", stats->submits);
    emit_uint(emit, "reaps", stats->reaps);
    emit_uint(emit, "again", stats->again);
    emit_uint(emit, "return_ns", median(context->returns_ns, point->transfers));
    if (request->groups > 1)
        emit_uints(emit, "groups_ns", point->groups_ns, request->groups);
    emit_enter(emit, "latency_ns");
    emit_uint(emit, "p50", hist_quantile(&stats->latency, 500));
    emit_uint(emit, "p90", hist_quantile(&stats->latency, 900));
    emit_uint(emit, "p99", hist_quantile(&stats->latency, 990));
    emit_uint(emit, "p999", hist_quantile(&stats->latency, 999));
    emit_uint(emit, "max", stats->latency.max);
    emit_leave(emit);
    emit_uint(emit, "cpu_user_ns", point->used.user_ns);
    emit_uint(emit, "cpu_system_ns", point->used.system_ns);
    emit_uint(emit, "host_cpu_ns", point->used.host_ns);
    if (request->engine == ENGINE_IO_URING)
        emit_uint(emit, "io_workers", point->io_workers);
    if (request->has_memory) {
        emit_enter(emit, "memory");
        emit_string(emit, "backing", buffer->backing);
        emit_uint(emit, "huge_bytes", buffer->huge_bytes);
        emit_uint(emit, "mean_run_bytes", buffer->mean_run_bytes);
        emit_leave(emit);
    }
    emit_enter(emit, "cache");
    emit_bool(emit, "dropped", point->dropped);
    emit_uint(emit, "resident_bytes", point->resident_bytes);
    emit_uint(emit, "passing_bytes", point->passing_bytes);
    emit_string(emit, "verdict", verdict(point));
    emit_leave(emit);
    emit_enter(emit, "counters");
    emit_uint(emit, "read_bytes", moved_read->bytes);
    emit_uint(emit, "write_bytes", moved_write->bytes);
    emit_leave(emit);
    emit_uint(emit, "device_ios", reads * moved_read->ios + writes * moved_write->ios);
    emit_uint(emit, "device_merges", reads * moved_read->merges + writes * moved_write->merges);
    (void)emit_send(emit);
}
