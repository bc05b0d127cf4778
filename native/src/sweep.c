#include "sweep.h"

#include "clock.h"
#include "context.h"
#include "hello.h"
#include "io/move.h"
#include "io/point.h"
#include "protocol/lines.h"
#include "target/erase.h"
#include "target/exclusive.h"
#include "target/prepare.h"
#include "target/trim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYS_ROOT     "/sys"
#define DROP_CACHES  "/proc/sys/vm/drop_caches"
#define QUOTED_BYTES 200 /* of a bad request line: PROTOCOL.md section 4 */

void sweep_report(struct emit *emit, const struct fault *fault, const struct sweep_details *details)
{
    (void)fprintf(stderr, "aio-sweep: %s\n", fault->message);
    emit_begin(emit, "error");
    emit_uint(emit, "code", (uint64_t)fault->code);
    emit_string(emit, "op", fault->op);
    emit_uint(emit, "errno", (uint64_t)fault->errnum);
    emit_string(emit, "name", fault_errno_name(fault->errnum));
    emit_string(emit, "message", fault->message);
    if (details->id)
        emit_uint(emit, "id", *details->id);
    if (details->span)
        emit_string(emit, "span", details->span);
    if (details->line)
        emit_bytes(emit, "line", details->line,
                   details->line_length < QUOTED_BYTES ? details->line_length : QUOTED_BYTES);
    (void)emit_send(emit);
}

/* Reads one block and compares the counters: on Linux 6.1, device-mapper volumes count their I/O
 * although queue/iostats is 0. */
static enum step_result probe_counters(struct context *context, struct fault *fault)
{
    struct phase phase = {
        .name = "check", .total = context->target.alignment, .stop_on_signal = true};
    struct transfer transfer = {
        .fds = &context->target.fd,
        .queue_depth = 1,
        .threads = 1,
        .groups = 1,
        .bytes = context->target.alignment,
        .plan = {.block_size = (uint32_t)context->target.alignment,
                 .buffer = context->buffer.data,
                 .file_offset = context->target.offset},
    };
    struct counters_reading before, after;
    enum step_result step;
    struct moved moved;

    if (context->counters.live || counters_read(&context->counters, &before) < 0)
        return STEP_OK;
    if (team_prepare(context->team, &transfer, fault) < 0)
        return STEP_FAILED;
    context->buffer.random = false;
    step = move_transfer(context, &transfer, &phase, &moved, fault);
    if (step != STEP_OK)
        return step;
    context->counters.live = counters_read(&context->counters, &after) == 0 &&
                             after.read.bytes - before.read.bytes >= transfer.bytes;
    return STEP_OK;
}

static void warn_of_reserved(const struct context *context)
{
    uint64_t bytes = page_sizes_reserved(&context->page_sizes, context->buffer.bytes);

    if (bytes == 0)
        (void)fprintf(
            stderr,
            "aio-sweep: buffer: this kernel has no reserved huge pages of at most %" PRIu64
            " bytes, using transparent huge pages; give a larger --max-transfer-bytes\n",
            context->buffer.bytes);
    else
        (void)fprintf(stderr,
                      "aio-sweep: buffer: too few reserved huge pages of %" PRIu64
                      " KiB free, using transparent huge pages; raise nr_hugepages in "
                      "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB\n",
                      bytes / 1024, bytes / 1024);
}

/* Prepares everything that must be ready before `hello`. */
static enum step_result set_up(struct context *context, struct fault *fault)
{
    const struct options *options = context->options;
    struct target *target = &context->target;
    struct pagecache_span span;
    enum step_result step = STEP_OK;

    if (target_open(options, SYS_ROOT, target, fault) < 0)
        return STEP_FAILED;
    if (space_open(&context->space, target->fd, target->new_fd, options->min_free_bytes, fault) < 0)
        return STEP_FAILED;
    context->watch.guard_fd = context->space.tripped_fd;
    page_sizes_find(&context->page_sizes, SYS_ROOT);
    if (buffer_open(&context->buffer, options->max_transfer_bytes, options->buffer,
                    &context->page_sizes, options->ballast_bytes, fault) < 0)
        return STEP_FAILED;
    if (options->buffer == BUFFER_HUGETLB && strcmp(context->buffer.backing, "hugetlb") != 0)
        warn_of_reserved(context);
    /* A probe makes a ring; a caller of version 1 cannot ask for one. */
    if (options->protocol >= 2)
        engine_probe(ENGINE_IO_URING, context->no_engine[ENGINE_IO_URING]);
    if (team_create(&context->team, fault) < 0)
        return STEP_FAILED;
    context->transfers_ns = calloc(REQUEST_MAX_TRANSFERS, sizeof(uint64_t));
    context->returns_ns = calloc(REQUEST_MAX_TRANSFERS, sizeof(uint64_t));
    if (!context->transfers_ns || !context->returns_ns)
        return fault_set(fault, FAULT_SYSTEM, "memory", ENOMEM,
                         "results: out of memory; free some memory");
    counters_open(&context->counters, SYS_ROOT, options->counters, target->device);
    span = (struct pagecache_span){.fd = target->fd,
                                   .device = target->kind == TARGET_DEVICE,
                                   .offset = target->offset,
                                   .bytes = target->span};
    pagecache_open(&context->cache, options->drop_caches, DROP_CACHES, &span);
    if (context->cache.reason[0])
        (void)fprintf(stderr, "aio-sweep: %s; the host's page cache is not dropped\n",
                      context->cache.reason);

    context->buffer.key = options->key;
    step = exclusive_begin(context, fault);
    if (options->erase)
        return step == STEP_OK ? erase_span(context, fault) : step;
    if (step == STEP_OK && target_is_written_device(target, options))
        step = prepare_check_blank(context, fault);
    if (step == STEP_OK &&
        (target->kind == TARGET_SCRATCH || target_is_written_device(target, options)))
        step = prepare_fill(context, fault);
    if (step == STEP_OK)
        step = probe_counters(context, fault);
    return step;
}

/* Returns NULL if the target is not a written device. */
static const char *span_name(const struct context *context)
{
    if (!target_is_written_device(&context->target, context->options))
        return NULL;
    return context->span_state == SPAN_CLEAN ? "clean" : "left";
}

static void emit_end(struct context *context)
{
    const char *reason = context->options->erase ? "erased" : "eof";
    const char *span = span_name(context);
    struct emit *emit = &context->emit;

    emit_begin(emit, "end");
    emit_string(emit, "reason", context->watch.stopped ? "signal" : reason);
    if (span)
        emit_string(emit, "span", span);
    emit_uint(emit, "points", context->points);
    emit_uint(emit, "bytes_read", context->bytes_read);
    emit_uint(emit, "bytes_written", context->bytes_written);
    emit_uint(emit, "bytes_trimmed", context->bytes_trimmed);
    (void)emit_send(emit);
}

/* The request that an error line refers to. */
struct origin {
    bool has_id;
    uint64_t id;
    const char *line; /* NULL unless the line itself is invalid */
    size_t line_length;
};

static enum step_result handle_line(struct context *context, const char *line, size_t length,
                                    struct origin *origin, struct fault *fault)
{
    const char *no_engine[ENGINE_KINDS];
    const struct request_limits limits = {
        .alignment = context->target.alignment,
        .max_transfer_bytes = context->options->max_transfer_bytes,
        .allow_write = context->options->allow_write,
        .new_file = context->target.new_fd >= 0,
        .protocol = context->options->protocol,
        .no_engine = no_engine,
    };
    uint64_t received_ns = clock_now_ns();
    struct request request;

    for (int kind = 0; kind < ENGINE_KINDS; kind++)
        no_engine[kind] = context->no_engine[kind];
    origin->has_id = request_find_id(line, length, &origin->id);
    if (request_parse(line, length, &limits, &request, fault) < 0) {
        origin->line = line;
        origin->line_length = length;
        return STEP_FAILED;
    }
    return point_run(context, &request, received_ns, fault);
}

/* Handles requests until the input ends, a signal arrives, or something fails. */
static enum step_result serve(struct context *context, struct lines *lines, struct origin *origin,
                              struct fault *fault)
{
    for (;;) {
        enum step_result step;
        const char *line;
        size_t length;
        int r;

        if (context->emit.error)
            return STEP_STOPPED;
        *origin = (struct origin){0};
        switch (lines_next(lines, &line, &length)) {
        case LINES_LINE:
            step = handle_line(context, line, length, origin, fault);
            if (step != STEP_OK)
                return step;
            break;
        case LINES_MORE:
            if (watch_wait(&context->watch, lines->fd, false, true) == WATCH_STOPPED)
                return STEP_STOPPED;
            r = lines_read(lines);
            if (r < 0)
                return fault_set(fault, FAULT_REQUEST, "request", -r,
                                 "standard input: cannot be read: %s", strerror(-r));
            break;
        case LINES_END:
            return STEP_OK;
        case LINES_LONG:
        case LINES_UNFINISHED:
        default:
            origin->line = line;
            origin->line_length = length;
            if (length > REQUEST_MAX_LINE)
                return fault_set(fault, FAULT_REQUEST, "request", 0,
                                 "request: longer than %d bytes; shorten the line",
                                 REQUEST_MAX_LINE);
            return fault_set(fault, FAULT_REQUEST, "request", 0,
                             "request: input ended within a line; end it with a newline");
        }
    }
}

/* Cleans up and returns the exit code. The device is zeroed first, which needs the worker threads
 * and the buffer. */
static int finish(struct context *context, enum step_result step, struct fault *fault,
                  const struct origin *origin)
{
    struct fault zero_fault = {0};
    int code;

    /* The guard also ends waits without I/O, such as the wait for a request; they set no fault. */
    if (atomic_load(&context->space.tripped))
        step = space_fault(&context->space, context->target.path, fault);
    if (step != STEP_FAILED && exclusive_intruded(context))
        step = exclusive_check(context, fault);
    if (prepare_zero(context, &zero_fault) != STEP_OK) {
        if (step == STEP_FAILED) {
            (void)fprintf(stderr, "aio-sweep: span not zeroed: %s\n", zero_fault.message);
        } else {
            step = STEP_FAILED;
            *fault = zero_fault;
        }
    }
    trim_scratch(context);
    team_destroy(context->team);
    space_close(&context->space);
    opened_close(&context->opened);
    target_close(&context->target);
    pagecache_close(&context->cache);
    counters_close(&context->counters);
    if (step == STEP_FAILED)
        sweep_report(&context->emit, fault,
                     &(struct sweep_details){.id = origin->has_id ? &origin->id : NULL,
                                             .span = span_name(context),
                                             .line = origin->line,
                                             .line_length = origin->line_length});
    else
        emit_end(context);
    code = step == STEP_FAILED ? (int)fault->code : 0;
    /* The reader may close the pipe at any time; a full disk, for example, is an error. */
    if (code == 0 && context->emit.error && context->emit.error != -EPIPE) {
        (void)fprintf(stderr, "aio-sweep: standard output: cannot be written: %s\n",
                      strerror(-context->emit.error));
        code = FAULT_IO;
    }
    buffer_close(&context->buffer);
    for (int pages = BUFFER_CONSUMER; pages <= BUFFER_HUGETLB; pages++)
        buffer_close(&context->memories[pages]);
    free(context->transfers_ns);
    free(context->returns_ns);
    return code;
}

int sweep_run(const struct options *options, uint64_t start_ns)
{
    struct context context = {.options = options,
                              .start_ns = start_ns,
                              .target = {.fd = -1, .new_fd = -1},
                              .cache = {.drop_fd = -1},
                              .space = SPACE_CLOSED,
                              .opened = OPENED_CLOSED,
                              .watch = {.signal_fd = -1, .guard_fd = -1}};
    struct fault fault = {0};
    struct origin origin = {0};
    struct lines lines;
    enum step_result step;
    int code;

    if (emit_open(&context.emit, STDOUT_FILENO) < 0)
        return FAULT_SYSTEM;
    lines_open(&lines, STDIN_FILENO);
    step = watch_open(&context.watch, &fault) < 0 ? STEP_FAILED : set_up(&context, &fault);
    if (step == STEP_OK && !options->erase) {
        hello_write(&context);
        step = serve(&context, &lines, &origin, &fault);
    }
    code = finish(&context, step, &fault, &origin);
    watch_close(&context.watch);
    emit_close(&context.emit);
    return code;
}
