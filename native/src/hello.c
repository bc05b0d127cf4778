#include "hello.h"

#include "clock.h"

#include <stdio.h>
#include <sys/sysmacros.h>

static void emit_engines(struct context *context)
{
    emit_enter(&context->emit, "engines");
    for (int kind = 0; kind < ENGINE_KINDS; kind++)
        emit_string(&context->emit, engine_name((enum engine_kind)kind), context->no_engine[kind]);
    emit_leave(&context->emit);
}

void hello_write(struct context *context)
{
    static const char *const residency[] = {"none", "cachestat", "mincore"};
    const struct target *target = &context->target;
    struct emit *emit = &context->emit;
    char number[32], policy[16];

    (void)snprintf(number, sizeof(number), "%u:%u", major(target->device), minor(target->device));
    emit_begin(emit, "hello");
    emit_uint(emit, "protocol", context->options->protocol);
    emit_string(emit, "helper", "aio-sweep");
    emit_string(emit, "version", AIO_SWEEP_VERSION);
    emit_enter(emit, "target");
    emit_string(emit, "kind", options_kind_name(target->kind));
    emit_string(emit, "path", target->path);
    emit_uint(emit, "offset_bytes", target->offset);
    emit_uint(emit, "span_bytes", target->span);
    emit_string(emit, "device_number", number);
    emit_leave(emit);
    emit_uint(emit, "dio_alignment_bytes", target->alignment);
    emit_uint(emit, "logical_block_bytes", target->logical_block);
    emit_bool(emit, "allow_write", context->options->allow_write);
    emit_enter(emit, "buffer");
    emit_uint(emit, "bytes", context->buffer.bytes);
    emit_string(emit, "backing", context->buffer.backing);
    emit_uint(emit, "huge_bytes", context->buffer.huge_bytes);
    emit_bool(emit, "locked", context->buffer.locked);
    emit_uint(emit, "mean_run_bytes", context->buffer.mean_run_bytes);
    buffer_thp_policy(policy);
    emit_string(emit, "thp_policy", policy);
    emit_uint(emit, "page_bytes", context->page_sizes.page_bytes);
    emit_uint(emit, "thp_bytes", context->page_sizes.thp_bytes);
    emit_uint(emit, "reserved_page_bytes",
              page_sizes_reserved(&context->page_sizes, context->buffer.bytes));
    emit_leave(emit);
    emit_enter(emit, "page_cache");
    emit_string(emit, "policy", options_policy_name(context->cache.policy));
    emit_bool(emit, "drop_caches", context->cache.drop_fd >= 0);
    emit_string(emit, "residency", residency[context->cache.residency]);
    emit_string(emit, "reason", context->cache.reason);
    emit_leave(emit);
    emit_enter(emit, "counters");
    emit_string(emit, "path", context->counters.path);
    emit_bool(emit, "live", context->counters.live);
    emit_leave(emit);
    if (context->options->protocol >= 2)
        emit_engines(context);
    emit_uint(emit, "fill_bytes", context->fill_bytes);
    emit_uint(emit, "fill_ns", context->fill_ns);
    emit_uint(emit, "setup_ns", clock_now_ns() - context->start_ns);
    (void)emit_send(emit);
}
