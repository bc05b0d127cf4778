#include "sweep.h"

#include "clock.h"
#include "io/point.h"
#include "protocol/lines.h"
#include "target/prepare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SYS_ROOT     "/sys"
#define DROP_CACHES  "/proc/sys/vm/drop_caches"
#define QUOTED_BYTES 200 /* of a bad line */

void sweep_report(struct emit *emit, const struct fault *fault, const uint64_t *id,
                  const char *line, size_t line_length)
{
    (void)fprintf(stderr, "aio-sweep: %s\n", fault->message);
    emit_begin(emit, "error");
    emit_uint(emit, "code", (uint64_t)fault->code);
    emit_string(emit, "op", fault->op);
    emit_uint(emit, "errno", (uint64_t)fault->errnum);
    emit_string(emit, "name", fault_errno_name(fault->errnum));
    emit_string(emit, "message", fault->message);
    if (id)
        emit_uint(emit, "id", *id);
    if (line)
        emit_bytes(emit, "line", line, line_length < QUOTED_BYTES ? line_length : QUOTED_BYTES);
    (void)emit_send(emit);
}

/* queue/iostats is 0 on the device-mapper volumes of Linux 6.1, which count all the same. One block
 * tells. */
static enum sweep_step probe_counters(struct sweep *sweep, struct fault *fault)
{
    struct sweep_phase phase = {.name = "check", .total = sweep->target.alignment, .heed = true};
    struct transfer transfer = {
        .fd = sweep->target.fd,
        .block_size = (uint32_t)sweep->target.alignment,
        .queue_depth = 1,
        .threads = 1,
        .buffer = sweep->buffer.data,
        .bytes = sweep->target.alignment,
        .file_offset = sweep->target.offset,
    };
    struct counters_reading before, after;
    enum sweep_step step;
    uint64_t elapsed_ns;

    if (sweep->counters.live || counters_read(&sweep->counters, &before) < 0)
        return SWEEP_ON;
    if (team_prepare(sweep->team, 1, 1, fault) < 0)
        return SWEEP_FAILED;
    sweep->buffer.noise = false;
    step = sweep_move(sweep, &transfer, &phase, &elapsed_ns, fault);
    if (step != SWEEP_ON)
        return step;
    sweep->counters.live = counters_read(&sweep->counters, &after) == 0 &&
                           after.read_bytes - before.read_bytes >= transfer.bytes;
    return SWEEP_ON;
}

/* Everything before `hello`. */
static enum sweep_step set_up(struct sweep *sweep, struct fault *fault)
{
    const struct options *options = sweep->options;
    struct target *target = &sweep->target;
    struct pagecache_span span;
    enum sweep_step step = SWEEP_ON;

    if (target_open(options, SYS_ROOT, target, fault) < 0)
        return SWEEP_FAILED;
    if (buffer_open(&sweep->buffer, options->max_transfer_bytes, fault) < 0)
        return SWEEP_FAILED;
    if (team_create(&sweep->team, fault) < 0)
        return SWEEP_FAILED;
    sweep->transfers_ns = calloc(REQUEST_MAX_TRANSFERS, sizeof(uint64_t));
    if (!sweep->transfers_ns)
        return fault_set(fault, FAULT_SYSTEM, "memory", ENOMEM, "no memory for the results");
    counters_open(&sweep->counters, SYS_ROOT, options->counters, target->device);
    span = (struct pagecache_span){.fd = target->fd,
                                   .device = target->kind == TARGET_DEVICE,
                                   .offset = target->offset,
                                   .bytes = target->span};
    pagecache_open(&sweep->cache, options->drop_caches, DROP_CACHES, &span);
    if (sweep->cache.reason[0])
        (void)fprintf(stderr, "aio-sweep: %s; going on without\n", sweep->cache.reason);

    if (target_is_written_device(target, options))
        step = blank_check(sweep, fault);
    if (step == SWEEP_ON &&
        (target->kind == TARGET_SCRATCH || target_is_written_device(target, options)))
        step = blank_fill(sweep, fault);
    if (step == SWEEP_ON)
        step = probe_counters(sweep, fault);
    return step;
}

static void say_hello(struct sweep *sweep)
{
    static const char *const residency[] = {"none", "cachestat", "mincore"};
    const struct target *target = &sweep->target;
    struct emit *emit = &sweep->emit;
    char number[32];

    (void)snprintf(number, sizeof(number), "%u:%u", major(target->device), minor(target->device));
    emit_begin(emit, "hello");
    emit_uint(emit, "protocol", 1);
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
    emit_bool(emit, "allow_write", sweep->options->allow_write);
    emit_enter(emit, "buffer");
    emit_uint(emit, "bytes", sweep->buffer.bytes);
    emit_string(emit, "backing", sweep->buffer.backing);
    emit_uint(emit, "huge_bytes", sweep->buffer.huge_bytes);
    emit_bool(emit, "locked", sweep->buffer.locked);
    emit_leave(emit);
    emit_enter(emit, "page_cache");
    emit_string(emit, "policy", options_policy_name(sweep->cache.policy));
    emit_bool(emit, "drop_caches", sweep->cache.drop_fd >= 0);
    emit_string(emit, "residency", residency[sweep->cache.residency]);
    emit_string(emit, "reason", sweep->cache.reason);
    emit_leave(emit);
    emit_enter(emit, "counters");
    emit_string(emit, "path", sweep->counters.path);
    emit_bool(emit, "live", sweep->counters.live);
    emit_leave(emit);
    emit_uint(emit, "fill_bytes", sweep->fill_bytes);
    emit_uint(emit, "fill_ns", sweep->fill_ns);
    emit_uint(emit, "setup_ns", clock_now_ns() - sweep->start_ns);
    (void)emit_send(emit);
}

static void say_end(struct sweep *sweep)
{
    struct emit *emit = &sweep->emit;

    emit_begin(emit, "end");
    emit_string(emit, "reason", sweep->watch.stopped ? "signal" : "eof");
    emit_uint(emit, "points", sweep->points);
    emit_uint(emit, "bytes_read", sweep->bytes_read);
    emit_uint(emit, "bytes_written", sweep->bytes_written);
    (void)emit_send(emit);
}

/* What an error line needs to know of the request it came of. */
struct origin {
    bool has_id;
    uint64_t id;
    const char *line; /* NULL unless the line itself is at fault */
    size_t line_length;
};

static enum sweep_step do_line(struct sweep *sweep, const char *line, size_t length,
                               struct origin *origin, struct fault *fault)
{
    const struct request_limits limits = {
        .alignment = sweep->target.alignment,
        .max_transfer_bytes = sweep->options->max_transfer_bytes,
        .allow_write = sweep->options->allow_write,
    };
    uint64_t received_ns = clock_now_ns();
    struct request request;

    origin->has_id = request_find_id(line, length, &origin->id);
    if (request_parse(line, length, &limits, &request, fault) < 0) {
        origin->line = line;
        origin->line_length = length;
        return SWEEP_FAILED;
    }
    return point_run(sweep, &request, received_ns, fault);
}

/* Requests until the input ends, a signal comes, or something fails. */
static enum sweep_step serve(struct sweep *sweep, struct lines *lines, struct origin *origin,
                             struct fault *fault)
{
    for (;;) {
        enum sweep_step step;
        const char *line;
        size_t length;
        int r;

        if (sweep->emit.error)
            return SWEEP_STOPPED;
        *origin = (struct origin){0};
        switch (lines_next(lines, &line, &length)) {
        case LINES_LINE:
            step = do_line(sweep, line, length, origin, fault);
            if (step != SWEEP_ON)
                return step;
            break;
        case LINES_MORE:
            if (watch_wait(&sweep->watch, lines->fd, false, true) == WATCH_STOPPED)
                return SWEEP_STOPPED;
            r = lines_read(lines);
            if (r < 0)
                return fault_set(fault, FAULT_REQUEST, "request", -r,
                                 "cannot read standard input: %s", strerror(-r));
            break;
        case LINES_END:
            return SWEEP_ON;
        case LINES_LONG:
        case LINES_UNFINISHED:
        default:
            origin->line = line;
            origin->line_length = length;
            if (length > REQUEST_MAX_LINE)
                return fault_set(fault, FAULT_REQUEST, "request", 0,
                                 "the line is longer than %d bytes", REQUEST_MAX_LINE);
            return fault_set(fault, FAULT_REQUEST, "request", 0,
                             "the input ends within a line: a request ends with a newline");
        }
    }
}

/* Cleans up in the order that matters: first nothing in flight, then the device blank, then the
 * memory. */
static int finish(struct sweep *sweep, enum sweep_step step, struct fault *fault,
                  const struct origin *origin)
{
    struct fault zero_fault = {0};
    int code;

    if (blank_zero(sweep, &zero_fault) != SWEEP_ON) {
        if (step == SWEEP_FAILED) {
            (void)fprintf(stderr, "aio-sweep: and the span could not be zeroed: %s\n",
                          zero_fault.message);
        } else {
            step = SWEEP_FAILED;
            *fault = zero_fault;
        }
    }
    team_dissolve(sweep->team);
    target_close(&sweep->target);
    pagecache_close(&sweep->cache);
    counters_close(&sweep->counters);
    if (step == SWEEP_FAILED)
        sweep_report(&sweep->emit, fault, origin->has_id ? &origin->id : NULL, origin->line,
                     origin->line_length);
    else
        say_end(sweep);
    code = step == SWEEP_FAILED ? (int)fault->code : 0;
    /* A reader that has gone is no failure of ours; a full disk under our output is. */
    if (code == 0 && sweep->emit.error && sweep->emit.error != -EPIPE) {
        (void)fprintf(stderr, "aio-sweep: cannot write standard output: %s\n",
                      strerror(-sweep->emit.error));
        code = FAULT_IO;
    }
    buffer_close(&sweep->buffer);
    free(sweep->transfers_ns);
    return code;
}

int sweep_run(const struct options *options, uint64_t start_ns)
{
    struct sweep sweep = {.options = options,
                          .start_ns = start_ns,
                          .target = {.fd = -1},
                          .cache = {.drop_fd = -1},
                          .watch = {.signal_fd = -1}};
    struct fault fault = {0};
    struct origin origin = {0};
    struct lines lines;
    enum sweep_step step;
    int code;

    if (emit_open(&sweep.emit, STDOUT_FILENO) < 0)
        return FAULT_SYSTEM;
    lines_open(&lines, STDIN_FILENO);
    step = watch_open(&sweep.watch, &fault) < 0 ? SWEEP_FAILED : set_up(&sweep, &fault);
    if (step == SWEEP_ON) {
        say_hello(&sweep);
        step = serve(&sweep, &lines, &origin, &fault);
    }
    code = finish(&sweep, step, &fault, &origin);
    watch_close(&sweep.watch);
    emit_close(&sweep.emit);
    return code;
}
