#include "io/point.h"

#include "clock.h"
#include "io/answer.h"
#include "io/move.h"
#include "target/cachewatch.h"
#include "target/exclusive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct evict_work {
    struct context *context;
    const struct pagecache_span *span;
    bool write, dropped;
    enum eviction how;
};

static struct pagecache_span cached_span(const struct context *context,
                                         const struct request *request)
{
    if (request->new_file)
        return (struct pagecache_span){.fd = context->target.new_fd,
                                       .bytes = request->transfer_bytes};
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
    const struct pagecache_span span = cached_span(context, request);
    struct evict_work work = {.context = context, .span = &span, .write = !request_reads(request)};

    if (pagecache_resident(context->cache.residency, &span, &point->resident_bytes) < 0)
        point->resident_bytes = 0;
    work.how =
        pagecache_plan(&context->cache, work.write, request->drop_caches, point->resident_bytes);
    if (work.how == EVICT_CLEAN)
        evict(&work);
    else
        move_run_with_ticks(context, evict, &work, phase);
    point->dropped = work.dropped;
}

/* Returns the memory of a request: the buffer of the run, or another that the request names, which
 * is allocated once and kept. Returns NULL with FAULT_SYSTEM. */
static struct buffer *choose_buffer(struct context *context, const struct request *request,
                                    struct fault *fault)
{
    struct buffer *buffer = &context->memories[request->memory];

    if (!request->has_memory || request->memory == context->options->buffer)
        return &context->buffer;
    if (buffer->data && buffer->bytes >= request->transfer_bytes)
        return buffer;
    buffer_close(buffer);
    if (buffer_open(buffer, request->transfer_bytes, request->memory, &context->page_sizes,
                    context->options->ballast_bytes, fault) < 0)
        return NULL;
    buffer->key = context->buffer.key;
    return buffer;
}

/* Renews the random data before a transfer that writes: no sector is written twice with the same
 * content, which a drive or volume might store once, and nothing that was read, which may be
 * compressible. */
static void prepare_buffer(const struct context *context, const struct request *request,
                           struct buffer *buffer)
{
    bool foreign = context->target.kind == TARGET_FILE && request_reads(request);

    if (request_writes(request) && (!buffer->random || foreign))
        buffer_fill(buffer, clock_now_ns());
    if (request_writes(request))
        buffer_stamp(buffer, request->transfer_bytes, clock_now_ns());
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

static struct transfer make_transfer(const struct context *context, const struct request *request,
                                     const struct buffer *buffer)
{
    struct transfer transfer = {
        .engine = request->engine,
        .registered = request->fixed_buffers,
        .allow_write = context->options->allow_write,
        .overlap = request->overlap_events,
        .single = request->single_submit,
        .queue_depth = request->queue_depth,
        .threads = request->io_parallelism,
        .groups = request->groups,
        .fds = request->new_file ? &context->target.new_fd : context->target.group_fds,
        .bytes = request->transfer_bytes,
        .plan = {.direction = request->direction,
                 .read_percent = request->read_percent,
                 .seed = request->seed,
                 .block_size = request->block_size,
                 .buffer = buffer->data,
                 .random = request->random},
    };

    if (request->random)
        permutation_init(&transfer.plan.permutation, context->target.span / request->block_size,
                         request->seed);
    return transfer;
}

/* Empties the second scratch file, so that the next transfer extends it. */
static int empty_new_file(struct context *context, struct fault *fault)
{
    trim_remember(context, context->target.new_fd);
    if (ftruncate(context->target.new_fd, 0) == 0)
        return 0;
    return fault_set(fault, FAULT_IO, "ftruncate", errno,
                     "%s: the new file cannot be truncated: %s; see the kernel log",
                     context->target.path, strerror(errno));
}

/* The CPU time of this thread, which does what is no part of a transfer. */
static uint64_t own_cpu_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t less(uint64_t value, uint64_t part)
{
    return value > part ? value - part : 0;
}

/* The counts before the first transfer. */
struct baseline {
    struct counters_reading counters;
    uint64_t read_bytes, written_bytes;
};

static void count(const struct context *context, const struct baseline *before, struct point *point)
{
    struct counters_reading now;

    point->read_bytes = context->bytes_read - before->read_bytes;
    point->written_bytes = context->bytes_written - before->written_bytes;
    point->counted = point->counted && counters_read(&context->counters, &now) == 0;
    if (point->counted)
        point->moved = counters_since(&now, &before->counters);
}

/* Returns whether other processes have moved more bytes on the device than the request allows. */
static bool disturbed(const struct context *context, const struct request *request,
                      const struct baseline *before, struct point *point)
{
    if (request->max_foreign_bytes == 0)
        return false;
    count(context, before, point);
    return less(point->moved.read.bytes + point->moved.write.bytes,
                point->read_bytes + point->written_bytes) > request->max_foreign_bytes;
}

/* Runs the transfers of a point. */
static enum step_result move_all(struct context *context, const struct request *request,
                                 struct transfer *transfer, struct buffer *buffer,
                                 const struct baseline *before, struct phase *phase,
                                 struct point *point, struct fault *fault)
{
    uint64_t blocks = (transfer->bytes + request->block_size - 1) / request->block_size;

    while (wants_more(request, point)) {
        struct shuffle *shuffle = NULL;
        enum step_result step;
        struct moved moved;
        uint64_t cpu_ns = own_cpu_ns();

        prepare_buffer(context, request, buffer);
        if (request_writes(request) && exclusive_check(context, fault) != STEP_OK)
            return STEP_FAILED;
        transfer->plan.first_block = point->transfers * blocks;
        if (request->new_file) {
            if (empty_new_file(context, fault) < 0)
                return STEP_FAILED;
        } else if (request->random) {
            shuffle = shuffles_find(&context->shuffles, request->block_size, request->seed);
            transfer->plan.first_block = shuffle->next;
            transfer->plan.file_offset = context->target.offset;
        } else {
            context->cursor = next_cursor(context, transfer->bytes);
            transfer->plan.file_offset = context->target.offset + context->cursor;
        }
        point->preparing_ns += own_cpu_ns() - cpu_ns;
        step = move_transfer(context, transfer, phase, &moved, fault);
        if (request_reads(request))
            buffer->random = false;
        if (step != STEP_OK)
            return step;
        if (shuffle)
            shuffle->next += blocks;
        else if (!request->new_file)
            context->cursor += transfer->bytes;
        context->returns_ns[point->transfers] = moved.return_ns;
        context->transfers_ns[point->transfers++] = moved.elapsed_ns;
        point->elapsed_ns += moved.elapsed_ns;
        for (unsigned group = 0; group < transfer->groups; group++)
            point->groups_ns[group] += moved.groups_ns[group];
        phase->done += transfer->bytes;
        if (context->watch.stopped || context->emit.error)
            return STEP_STOPPED;
        if (disturbed(context, request, before, point))
            return STEP_OK;
    }
    return STEP_OK;
}

/* Runs the transfers, and reads CPU times and counters immediately before and after them. */
static enum step_result measure(struct context *context, const struct request *request,
                                struct buffer *buffer, struct phase *phase, struct point *point,
                                struct fault *fault)
{
    struct transfer transfer = make_transfer(context, request, buffer);
    struct baseline before = {.read_bytes = context->bytes_read,
                              .written_bytes = context->bytes_written};
    const struct pagecache_span span = cached_span(context, request);
    uint64_t first =
        request->new_file || request->random ? 0 : next_cursor(context, request->transfer_bytes);
    struct cachewatch watch = {.stop_fd = -1};
    struct usage used;
    enum step_result step;

    if (team_prepare(context->team, &transfer, fault) < 0)
        return STEP_FAILED;
    point->counted =
        context->counters.live && counters_read(&context->counters, &before.counters) == 0;
    /* Only the scratch file: other processes may read a file or device into the page cache. */
    if (context->target.kind == TARGET_SCRATCH)
        cachewatch_start(&watch, context->cache.residency, &span, span.offset + first);
    usage_read(&used);
    step = move_all(context, request, &transfer, buffer, &before, phase, point, fault);
    usage_read(&point->used);
    point->passing_bytes = cachewatch_stop(&watch);
    if (step != STEP_OK)
        return step;
    count(context, &before, point);
    point->used.user_ns = less(point->used.user_ns - used.user_ns, point->preparing_ns);
    point->used.system_ns -= used.system_ns;
    point->used.host_ns = less(point->used.host_ns - used.host_ns, point->preparing_ns);
    if (request->engine == ENGINE_IO_URING)
        point->io_workers = usage_io_workers();
    team_sum(context->team, &point->stats);
    return STEP_OK;
}

enum step_result point_run(struct context *context, const struct request *request,
                           uint64_t received_ns, struct fault *fault)
{
    struct point point = {0};
    struct phase phase = {.name = "point", .id = &request->id, .stop_on_signal = true};
    enum step_result step;
    struct buffer *buffer;

    if (request->min_ns == 0) {
        phase.total = request->min_transfers * request->transfer_bytes;
        if (request->max_bytes > 0 && phase.total > request->max_bytes)
            phase.total = request->max_bytes / request->transfer_bytes * request->transfer_bytes;
        if (phase.total == 0)
            phase.total = request->transfer_bytes;
    }
    buffer = choose_buffer(context, request, fault);
    if (!buffer ||
        target_open_groups(&context->target, context->options, request->groups, fault) < 0)
        return STEP_FAILED;
    if (request->new_file &&
        space_check(context->target.new_fd, context->target.path, context->options->min_free_bytes,
                    request->transfer_bytes, fault) < 0)
        return STEP_FAILED;
    prepare_cache(context, request, &phase, &point);
    step = measure(context, request, buffer, &phase, &point, fault);
    if (step == STEP_OK && request->new_file && empty_new_file(context, fault) < 0)
        return STEP_FAILED;
    if (step != STEP_OK)
        return step;
    context->points++;
    answer_write(context, request, received_ns, buffer, &point);
    return STEP_OK;
}
