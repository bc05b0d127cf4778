#include "check.h"
#include "faults.h"
#include "io/engine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { ALIGN = 4096, FILE_BYTES = 4 << 20, SHARE = 1 << 20, BLOCK = 16384, BLOCKS = 64 };

/* On a busy host a pause of 1 ms may take 100 ms. */
#define LONG_EAGAIN_NS  UINT64_C(60000000000)
#define SHORT_EAGAIN_NS UINT64_C(50000000)

/* Sets of engines. */
enum {
    LIBAIO = 1 << ENGINE_LIBAIO,
    URING = 1 << ENGINE_IO_URING,
    QUEUES = LIBAIO | URING,
    PSYNC = 1 << ENGINE_PSYNC,
    ALL = QUEUES | PSYNC,
};

static int fd;
static char *buffer;
static atomic_bool halt;
static _Atomic uint64_t progress;
static unsigned present; /* set of the engines that work here */

static const char *name_of(int kind)
{
    return engine_name((enum engine_kind)kind);
}

static struct plan make_plan(enum direction direction)
{
    return (struct plan){.direction = direction, .block_size = BLOCK, .buffer = buffer};
}

static struct engine_job make_job(const struct plan *plan)
{
    return (struct engine_job){.fd = fd,
                               .allow_write = true,
                               .overlap = true,
                               .walk = {.plan = plan, .end = SHARE},
                               .halt = &halt,
                               .progress = &progress};
}

static struct engine *make_engine(int kind, unsigned depth)
{
    const struct engine_key key = {.kind = (enum engine_kind)kind,
                                   .depth = kind == ENGINE_PSYNC ? 1 : depth};
    struct engine *engine = NULL;

    if (engine_create(&key, &engine) < 0) {
        (void)fprintf(stderr, "%s does not work here\n", name_of(kind));
        exit(CHECK_SKIP);
    }
    CHECK((uintptr_t)engine % 64 == 0);
    engine_set_eagain_limit(engine, LONG_EAGAIN_NS);
    return engine;
}

static void inject(enum fault_kind kind, long value, int after, int times)
{
    injected.kind = kind;
    injected.value = value;
    injected.after = after;
    injected.times = times;
}

/* Runs one share with the armed fault, then disarms it. Returns the statistics. */
static struct engine_stats *run(struct engine *engine, const struct engine_job *job)
{
    static struct engine_stats stats;

    memset(&stats, 0, sizeof(stats));
    engine_run(engine, job, &stats);
    inject(NO_FAULT, 0, 0, 0);
    return &stats;
}

static void pause_50_ms(void)
{
    const struct timespec pause = {.tv_nsec = 50000000};

    (void)nanosleep(&pause, NULL);
}

static uint64_t bytes_of(const struct engine_stats *stats)
{
    return stats->read_bytes + stats->written_bytes;
}

static const struct {
    const char *name;
    unsigned engines;
    enum fault_kind kind;
    long value;
    int after, times;
    enum engine_error error;
    int errnum;
    uint64_t again;
} table[] = {
    {"partial submit", QUEUES, SUBMIT_PARTIAL, 0, 0, 1, ENGINE_OK, 0, 0},
    {"always partial submit", QUEUES, SUBMIT_PARTIAL, 0, 0, -1, ENGINE_OK, 0, 0},
    {"submit takes nothing once", QUEUES, SUBMIT_ERROR, 0, 1, 1, ENGINE_OK, 0, 1},
    {"submit EAGAIN at first", ALL, SUBMIT_ERROR, -EAGAIN, 0, 1, ENGINE_OK, 0, 1},
    {"submit EAGAIN while busy", ALL, SUBMIT_ERROR, -EAGAIN, 2, 3, ENGINE_OK, 0, 3},
    {"submit EAGAIN always", ALL, SUBMIT_ERROR, -EAGAIN, 0, -1, ENGINE_EAGAIN, EAGAIN, 0},
    {"submit EAGAIN always, later", ALL, SUBMIT_ERROR, -EAGAIN, 3, -1, ENGINE_EAGAIN, EAGAIN, 0},
    {"submit EBUSY", URING, SUBMIT_ERROR, -EBUSY, 1, 2, ENGINE_OK, 0, 2},
    {"submit EINTR", ALL, SUBMIT_ERROR, -EINTR, 1, 5, ENGINE_OK, 0, 0},
    {"submit ENODEV", QUEUES, SUBMIT_ERROR, -ENODEV, 1, 1, ENGINE_SUBMIT, ENODEV, 0},
    {"submit EINVAL", QUEUES, SUBMIT_ERROR, -EINVAL, 0, 1, ENGINE_SUBMIT, EINVAL, 0},
    {"reap EINTR", LIBAIO, REAP_ERROR, -EINTR, 1, 5, ENGINE_OK, 0, 0},
    {"reap EINVAL", LIBAIO, REAP_ERROR, -EINVAL, 1, 1, ENGINE_REAP, EINVAL, 0},
    {"reap finds none", LIBAIO, REAP_ERROR, 0, 1, 3, ENGINE_OK, 0, 0},
    {"result EIO", ALL, RESULT, -EIO, 7, 1, ENGINE_FAILED, EIO, 0},
    {"result ENODATA", ALL, RESULT, -ENODATA, 0, 1, ENGINE_FAILED, ENODATA, 0},
    {"last result EIO", ALL, RESULT, -EIO, 63, 1, ENGINE_FAILED, EIO, 0},
    {"removed drive", ALL, RESULT, -ENODEV, 7, -1, ENGINE_FAILED, ENODEV, 0},
    {"res2 EIO", LIBAIO, RESULT2, -EIO, 7, 1, ENGINE_FAILED, EIO, 0},
    {"result EAGAIN", QUEUES, RESULT, -EAGAIN, 7, 3, ENGINE_OK, 0, 3},
    {"result EAGAIN always", QUEUES, RESULT, -EAGAIN, 7, -1, ENGINE_EAGAIN, EAGAIN, 0},
    {"short", ALL, RESULT, 512, 7, 1, ENGINE_SHORT, 0, 0},
    {"zero bytes", ALL, RESULT, 0, 7, 1, ENGINE_SHORT, 0, 0},
    {"too long", ALL, RESULT, 32768, 7, 1, ENGINE_SHORT, 0, 0},
};

/* A fault is either tolerated, with all bytes moved, or reported, with nothing left in flight. */
static void check_fault(size_t row, int kind, int mode)
{
    struct engine *engine = make_engine(kind, 8);
    struct plan plan = make_plan(DIRECTION_READ);
    struct engine_job job = make_job(&plan);
    struct engine_stats *stats;

    if (table[row].error == ENGINE_EAGAIN)
        engine_set_eagain_limit(engine, SHORT_EAGAIN_NS);
    job.overlap = mode & 1;
    job.single = mode & 2;
    inject(table[row].kind, table[row].value, table[row].after, table[row].times);
    stats = run(engine, &job);
    CHECK(stats->error == table[row].error);
    CHECK(stats->errnum == table[row].errnum);
    CHECK(stats->finish_ns > 0);
    if (table[row].error == ENGINE_OK) {
        CHECK(bytes_of(stats) == SHARE && stats->requests == BLOCKS);
        CHECK(stats->latency.count == BLOCKS);
        CHECK(stats->again == table[row].again);
    } else {
        CHECK(bytes_of(stats) < SHARE);
    }
    if (table[row].error == ENGINE_FAILED || table[row].error == ENGINE_SHORT) {
        CHECK(stats->place.length == BLOCK && stats->place.offset % BLOCK == 0);
        CHECK(stats->place.offset < FILE_BYTES);
    }
    if (table[row].error == ENGINE_SHORT)
        CHECK(stats->moved == (uint64_t)table[row].value);
    /* The engine works again, unless it was closed. */
    stats = run(engine, &job);
    CHECK(stats->error == (table[row].error == ENGINE_REAP ? ENGINE_REAP : ENGINE_OK));
    engine_destroy(engine);
}

static void faults(void)
{
    for (size_t row = 0; row < sizeof(table) / sizeof(table[0]); row++) {
        for (int kind = 0; kind < ENGINE_KINDS; kind++) {
            if (!(table[row].engines & present & 1U << kind))
                continue;
            for (int mode = 0; mode < 4; mode++) {
                int failures = check_failures;

                check_fault(row, kind, mode);
                if (failures != check_failures)
                    (void)fprintf(stderr, "  in \"%s\", %s, mode %d\n", table[row].name,
                                  name_of(kind), mode);
            }
        }
    }
}

static void setup_fails(int kind)
{
    const struct engine_key key = {.kind = (enum engine_kind)kind, .depth = 8};
    struct engine *engine = NULL;

    if (kind == ENGINE_PSYNC)
        return;
    inject(SETUP_ERROR, -EAGAIN, 0, 1);
    CHECK(engine_create(&key, &engine) == -EAGAIN);
    CHECK(engine == NULL);
    inject(NO_FAULT, 0, 0, 0);
}

#ifdef AIO_SWEEP_LIBURING

/* A ring that cannot be made is a reason; another engine never takes its place. */
static void probe(void)
{
    static const struct {
        int errnum;
        const char *reason;
    } errors[] = {{ENOSYS, "this kernel has no io_uring"},
                  {EPERM, "io_uring is forbidden here"},
                  {ENOMEM, "raise LimitMEMLOCK="}};
    char reason[256];

    for (size_t i = 0; i < 3; i++) {
        inject(SETUP_ERROR, -errors[i].errnum, 0, 1);
        engine_probe(ENGINE_IO_URING, reason);
        CHECK(strstr(reason, errors[i].reason));
    }
    inject(NO_FAULT, 0, 0, 0);
}

/* Older kernels reject the flags one by one. */
static void old_kernels(void)
{
    static const unsigned refused[] = {1U << 13, 3U << 12};
    struct plan plan = make_plan(DIRECTION_READ);
    struct engine_job job = make_job(&plan);

    for (int i = 0; i < 2; i++) {
        struct engine *engine;
        int before = atomic_load(&setup_calls);

        refused_flags = refused[i];
        engine = make_engine(ENGINE_IO_URING, 8);
        CHECK(atomic_load(&setup_calls) == before + 2 + i);
        CHECK(bytes_of(run(engine, &job)) == SHARE);
        engine_destroy(engine);
    }
    refused_flags = 0;
}

/* From Linux 5.1 on there are rings, from 5.6 on the reads and writes that are used here. */
static void rings_without_reads(void)
{
    const struct engine_key key = {.kind = ENGINE_IO_URING, .depth = 8};
    struct engine *engine = NULL;
    char reason[256];

    missing_features = IORING_FEAT_RW_CUR_POS;
    CHECK(engine_create(&key, &engine) == -ENOSYS && engine == NULL);
    engine_probe(ENGINE_IO_URING, reason);
    CHECK(strstr(reason, "use Linux 5.6 or newer"));
    missing_features = 0;
}

static int pipe_ends[2];

static void *write_later(void *argument)
{
    pause_50_ms();
    for (int i = 0; i < 4; i++)
        CHECK(write(pipe_ends[1], buffer, ALIGN) == ALIGN);
    return argument;
}

/* The wait for requests in flight, here reads of an empty pipe, is interrupted and then fails: the
 * ring is closed, which cancels them, and the engine says so from then on. */
static void waits(void)
{
    struct engine *engine = make_engine(ENGINE_IO_URING, 4);
    struct plan plan = make_plan(DIRECTION_READ);
    struct engine_job job = make_job(&plan);
    struct engine_stats *stats;
    pthread_t thread;

    CHECK(pipe(pipe_ends) == 0);
    plan.block_size = ALIGN;
    job.fd = pipe_ends[0];
    job.walk.end = 4 * ALIGN;
    CHECK(pthread_create(&thread, NULL, write_later, NULL) == 0);
    inject(REAP_ERROR, -EINTR, 0, 5);
    stats = run(engine, &job);
    CHECK(stats->error == ENGINE_OK && stats->read_bytes == 4 * ALIGN && stats->reaps > 5);
    (void)pthread_join(thread, NULL);

    inject(REAP_ERROR, -EBADF, 0, 1);
    stats = run(engine, &job);
    CHECK(stats->error == ENGINE_REAP && stats->errnum == EBADF && stats->requests == 0);
    CHECK(run(engine, &job)->error == ENGINE_REAP);
    engine_destroy(engine);
    (void)close(pipe_ends[0]);
    (void)close(pipe_ends[1]);
}

/* Registered memory and file: requests lie anywhere in the memory. */
static void registered(void)
{
    const struct engine_key key = {
        .kind = ENGINE_IO_URING, .depth = 8, .fd = fd, .buffer = buffer, .bytes = SHARE};
    struct plan plan = make_plan(DIRECTION_READ);
    struct engine_job job = make_job(&plan);
    struct engine_key other = key;
    struct engine *engine = NULL;

    job.fd = -1; /* the registered one is used */
    CHECK(engine_create(&key, &engine) == 0);
    CHECK(bytes_of(run(engine, &job)) == SHARE);
    CHECK(engine_fits(engine, &key));
    other.buffer += ALIGN;
    CHECK(!engine_fits(engine, &other));
    other = key;
    other.bytes = 0;
    CHECK(!engine_fits(engine, &other));
    engine_destroy(engine);
}

#endif

/* The last guard: a write without allow_write never reaches the kernel; nor does that of a mix. */
static void refused(int kind)
{
    for (int mixed = 0; mixed < 2; mixed++) {
        struct engine *engine = make_engine(kind, 4);
        struct plan plan = make_plan(mixed ? DIRECTION_MIXED : DIRECTION_WRITE);
        struct engine_job job = make_job(&plan);
        struct engine_stats *stats;
        int before = atomic_load(&submit_calls);

        plan.read_percent = 1;
        job.allow_write = false;
        stats = run(engine, &job);
        CHECK(stats->error == ENGINE_REFUSED && stats->errnum == EPERM);
        CHECK(stats->written_bytes == 0);
        if (!mixed) {
            CHECK(atomic_load(&submit_calls) == before);
            CHECK(stats->requests == 0 && stats->submits == 0);
        }
        /* Nothing is left in the queue of the engine. */
        plan.direction = DIRECTION_READ;
        stats = run(engine, &job);
        CHECK(stats->error == ENGINE_OK && stats->read_bytes == SHARE);
        CHECK(stats->requests == BLOCKS);
        engine_destroy(engine);
    }
}

static void halted(int kind)
{
    struct engine *engine = make_engine(kind, 4);
    struct plan plan = make_plan(DIRECTION_READ);
    struct engine_job job = make_job(&plan);
    struct engine_stats *stats;

    atomic_store(&halt, true);
    stats = run(engine, &job);
    CHECK(stats->error == ENGINE_OK && bytes_of(stats) == 0);
    atomic_store(&halt, false);
    engine_destroy(engine);
}

static void *halt_then_free(void *argument)
{
    (void)argument;
    pause_50_ms();
    atomic_store(&halt, true);
    pause_50_ms();
    atomic_store(&stuck, false);
    return NULL;
}

/* The device does not answer, while the transfer is halted: the engine waits for the
 * requests in flight, and submits no more. */
static void halted_while_stuck(int kind)
{
    for (int overlap = 0; overlap < 2; overlap++) {
        struct engine *engine = make_engine(kind, 4);
        struct plan plan = make_plan(DIRECTION_READ);
        struct engine_job job = make_job(&plan);
        struct engine_stats *stats;
        pthread_t thread;

        job.overlap = overlap;
        atomic_store(&stuck, true);
        inject(STUCK, 0, 0, 0);
        CHECK(pthread_create(&thread, NULL, halt_then_free, NULL) == 0);
        stats = run(engine, &job);
        CHECK(!atomic_load(&stuck));
        CHECK(stats->error == ENGINE_OK);
        CHECK(stats->requests == (kind == ENGINE_PSYNC ? 1 : 4));
        CHECK(bytes_of(stats) == stats->requests * BLOCK);
        (void)pthread_join(thread, NULL);
        atomic_store(&halt, false);
        engine_destroy(engine);
    }
}

/* The modes differ in the number of calls, here for 64 blocks at queue depth 8. */
static void calls(int kind)
{
    for (int mode = 0; mode < 4; mode++) {
        struct engine *engine = make_engine(kind, 8);
        struct plan plan = make_plan(DIRECTION_READ);
        struct engine_job job = make_job(&plan);
        struct engine_stats *stats;

        job.overlap = mode & 1;
        job.single = mode & 2;
        stats = run(engine, &job);
        if (job.single || kind == ENGINE_PSYNC)
            CHECK(stats->submits == BLOCKS);
        else if (!job.overlap)
            CHECK(stats->submits == 8);
        else
            CHECK(stats->submits >= 8 && stats->submits <= 57);
        if (kind == ENGINE_PSYNC)
            CHECK(stats->reaps == 0);
        else if (!job.overlap && kind == ENGINE_LIBAIO)
            CHECK(stats->reaps == 8);
        else if (!job.overlap)
            CHECK(stats->reaps == 0); /* the call that submits the last request waits for all */
        engine_destroy(engine);
    }
}

static char pattern(uint64_t at)
{
    return (char)(at * 31 + (at >> 9) * 7 + (at >> 16));
}

/* Each byte of the buffer is written to its own offset and read back, for uneven shares and last
 * blocks. */
static void places(int kind)
{
    static const struct {
        uint64_t position, bytes, file_offset;
        uint32_t block, depth;
    } shares[] = {
        {0, 1 << 20, 0, 16384, 8},
        {0, (1 << 20) - ALIGN, ALIGN, 16384, 8},
        {5 * ALIGN, 37 * ALIGN, 3 * ALIGN, 3 * ALIGN, 5},
        {ALIGN, ALIGN, 0, 1 << 20, 4},
        {0, 100 * ALIGN, 0, ALIGN, 128},
        {7 * ALIGN, 11 * ALIGN, 1 << 20, 2 * ALIGN, 1},
    };
    char *image = malloc(FILE_BYTES);

    if (!image)
        abort();
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        for (int mode = 0; mode < 4; mode++) {
            struct engine *engine = make_engine(kind, shares[i].depth);
            struct plan plan = make_plan(DIRECTION_WRITE);
            struct engine_job job = make_job(&plan);
            uint64_t first = shares[i].file_offset + shares[i].position;
            uint64_t wrong = 0;

            job.overlap = mode & 1;
            job.single = mode & 2;
            job.walk.start = shares[i].position;
            job.walk.end = shares[i].position + shares[i].bytes;
            plan.file_offset = shares[i].file_offset;
            plan.block_size = shares[i].block;
            CHECK(ftruncate(fd, 0) == 0 && ftruncate(fd, FILE_BYTES) == 0);
            for (uint64_t at = 0; at < 2 << 20; at++)
                buffer[at] = pattern(at);
            CHECK(run(engine, &job)->written_bytes == shares[i].bytes);
            CHECK(__real_pread(fd, image, FILE_BYTES, 0) == FILE_BYTES || errno == EINVAL);
            for (uint64_t at = 0; at < FILE_BYTES; at++)
                wrong += image[at] != (at >= first && at < first + shares[i].bytes
                                           ? pattern(at - shares[i].file_offset)
                                           : 0);
            CHECK(wrong == 0);

            memset(buffer, 0, 2 << 20);
            plan.direction = DIRECTION_READ;
            CHECK(run(engine, &job)->read_bytes == shares[i].bytes);
            wrong = 0;
            for (uint64_t at = 0; at < 2 << 20; at++)
                wrong +=
                    buffer[at] != (at >= job.walk.start && at < job.walk.end ? pattern(at) : 0);
            CHECK(wrong == 0);
            engine_destroy(engine);
        }
    }
    free(image);
}

int main(void)
{
    char path[] = "/tmp/aio-sweep-engine-XXXXXX";

    fd = mkstemp(path);
    CHECK(fd >= 0);
    (void)unlink(path);
    if (posix_memalign((void **)&buffer, ALIGN, 2 << 20) != 0)
        abort();
    memset(buffer, 0, 2 << 20);
    CHECK(ftruncate(fd, FILE_BYTES) == 0);
    for (int kind = 0; kind < ENGINE_KINDS; kind++) {
        enum engine_kind found;
        char reason[256];

        CHECK(engine_find(name_of(kind), strlen(name_of(kind)), &found) && (int)found == kind);
        engine_probe((enum engine_kind)kind, reason);
        if (reason[0]) {
            (void)fprintf(stderr, "%s: %s\n", name_of(kind), reason);
            continue;
        }
        present |= 1U << kind;
        calls(kind);
        setup_fails(kind);
        refused(kind);
        halted(kind);
        halted_while_stuck(kind);
        places(kind);
    }
    faults();
#ifdef AIO_SWEEP_LIBURING
    if (present & URING) {
        probe();
        old_kernels();
        rings_without_reads();
        waits();
        registered();
    }
#endif
    free(buffer);
    (void)close(fd);
    return check_result();
}
