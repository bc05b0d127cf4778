#include "check.h"
#include "faults.h"
#include "io/engine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { ALIGN = 4096, FILE_BYTES = 4 << 20 };

/* On a busy host a pause of 1 ms may take 100 ms. */
#define LONG_EAGAIN_NS  UINT64_C(60000000000)
#define SHORT_EAGAIN_NS UINT64_C(50000000)

static int fd;
static char *buffer;
static atomic_bool halt;
static _Atomic uint64_t progress;

static struct engine_job make_job(bool write)
{
    return (struct engine_job){.fd = fd,
                               .write = write,
                               .allow_write = write,
                               .overlap = true,
                               .block_size = 16384,
                               .buffer = buffer,
                               .bytes = 1 << 20,
                               .halt = &halt,
                               .progress = &progress};
}

static struct engine *make_engine(unsigned depth)
{
    struct engine *engine = NULL;

    if (engine_create(depth, &engine) < 0) {
        (void)fprintf(stderr, "io_setup does not work here\n");
        exit(CHECK_SKIP);
    }
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

static const struct {
    const char *name;
    enum fault_kind kind;
    long value;
    int after, times;
    enum engine_error error;
    int errnum;
} table[] = {
    {"partial submit", SUBMIT_PARTIAL, 0, 0, 1, ENGINE_OK, 0},
    {"always partial submit", SUBMIT_PARTIAL, 0, 0, -1, ENGINE_OK, 0},
    {"submit takes nothing once", SUBMIT_ERROR, 0, 1, 1, ENGINE_OK, 0},
    {"submit EAGAIN at first", SUBMIT_ERROR, -EAGAIN, 0, 1, ENGINE_OK, 0},
    {"submit EAGAIN while busy", SUBMIT_ERROR, -EAGAIN, 2, 3, ENGINE_OK, 0},
    {"submit EAGAIN always", SUBMIT_ERROR, -EAGAIN, 0, -1, ENGINE_EAGAIN, EAGAIN},
    {"submit EAGAIN always, later", SUBMIT_ERROR, -EAGAIN, 3, -1, ENGINE_EAGAIN, EAGAIN},
    {"submit EINTR", SUBMIT_ERROR, -EINTR, 1, 5, ENGINE_OK, 0},
    {"submit ENODEV", SUBMIT_ERROR, -ENODEV, 1, 1, ENGINE_SUBMIT, ENODEV},
    {"getevents EINTR", REAP_ERROR, -EINTR, 1, 5, ENGINE_OK, 0},
    {"getevents EINVAL", REAP_ERROR, -EINVAL, 1, 1, ENGINE_GETEVENTS, EINVAL},
    {"getevents times out", REAP_ERROR, 0, 1, 3, ENGINE_OK, 0},
    {"res EIO", RESULT, -EIO, 7, 1, ENGINE_FAILED, EIO},
    {"res ENODATA", RESULT, -ENODATA, 0, 1, ENGINE_FAILED, ENODATA},
    {"last res EIO", RESULT, -EIO, 63, 1, ENGINE_FAILED, EIO},
    {"res2 EIO", RESULT2, -EIO, 7, 1, ENGINE_FAILED, EIO},
    {"short", RESULT, 512, 7, 1, ENGINE_SHORT, 0},
    {"zero bytes", RESULT, 0, 7, 1, ENGINE_SHORT, 0},
    {"too long", RESULT, 32768, 7, 1, ENGINE_SHORT, 0},
};

/* In each of the four modes, a fault is either tolerated, with all bytes moved, or reported, with
 * nothing left in flight. */
static void faults(void)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        for (int mode = 0; mode < 4; mode++) {
            struct engine *engine = make_engine(8);
            struct engine_job job = make_job(false);
            struct engine_stats *stats;
            int failures = check_failures;

            if (table[i].error == ENGINE_EAGAIN)
                engine_set_eagain_limit(engine, SHORT_EAGAIN_NS);
            job.overlap = mode & 1;
            job.single = mode & 2;
            inject(table[i].kind, table[i].value, table[i].after, table[i].times);
            stats = run(engine, &job);
            CHECK(stats->error == table[i].error);
            CHECK(stats->errnum == table[i].errnum);
            CHECK(stats->finish_ns > 0);
            if (table[i].error == ENGINE_OK) {
                CHECK(stats->bytes == job.bytes && stats->requests == 64);
                CHECK(stats->latency.count == 64);
            } else {
                CHECK(stats->bytes < job.bytes);
            }
            if (table[i].error == ENGINE_FAILED || table[i].error == ENGINE_SHORT) {
                CHECK(stats->length == 16384 && stats->offset % 16384 == 0);
                CHECK(stats->offset < FILE_BYTES);
            }
            if (table[i].error == ENGINE_SHORT)
                CHECK(stats->moved == (uint64_t)table[i].value);
            /* Nothing is left in flight: the engine works again, unless its io_context was
             * destroyed. */
            stats = run(engine, &job);
            CHECK(stats->error ==
                  (table[i].error == ENGINE_GETEVENTS ? ENGINE_GETEVENTS : ENGINE_OK));
            if (failures != check_failures)
                (void)fprintf(stderr, "  in \"%s\", mode %d\n", table[i].name, mode);
            engine_destroy(engine);
        }
    }
}

static void setup_fails(void)
{
    struct engine *engine = NULL;

    inject(SETUP_ERROR, -EAGAIN, 0, 1);
    CHECK(engine_create(8, &engine) == -EAGAIN);
    CHECK(engine == NULL);
    inject(NO_FAULT, 0, 0, 0);
}

/* The last guard: a write without allow_write never reaches io_submit. */
static void refused(void)
{
    struct engine *engine = make_engine(4);
    struct engine_job job = make_job(true);
    struct engine_stats *stats;
    int before = atomic_load(&submit_calls);

    job.allow_write = false;
    stats = run(engine, &job);
    CHECK(stats->error == ENGINE_REFUSED && stats->errnum == EPERM);
    CHECK(atomic_load(&submit_calls) == before);
    CHECK(stats->requests == 0 && stats->submits == 0);
    engine_destroy(engine);
}

static void halted(void)
{
    struct engine *engine = make_engine(4);
    struct engine_job job = make_job(false);
    struct engine_stats *stats;

    atomic_store(&halt, true);
    stats = run(engine, &job);
    CHECK(stats->error == ENGINE_OK && stats->bytes == 0);
    atomic_store(&halt, false);
    engine_destroy(engine);
}

/* The modes differ in the number of calls, here for 64 blocks at queue depth 8. */
static void calls(void)
{
    for (int mode = 0; mode < 4; mode++) {
        struct engine *engine = make_engine(8);
        struct engine_job job = make_job(false);
        struct engine_stats *stats;

        job.overlap = mode & 1;
        job.single = mode & 2;
        stats = run(engine, &job);
        if (job.single)
            CHECK(stats->submits == 64);
        else if (!job.overlap)
            CHECK(stats->submits == 8);
        else
            CHECK(stats->submits >= 8 && stats->submits <= 57);
        if (!job.overlap)
            CHECK(stats->reaps == 8);
        engine_destroy(engine);
    }
}

static char pattern(uint64_t at)
{
    return (char)(at * 31 + (at >> 9) * 7 + (at >> 16));
}

/* Each byte of the buffer is written to its own offset and read back, for uneven shares and last
 * blocks. */
static void places(void)
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
            struct engine *engine = make_engine(shares[i].depth);
            struct engine_job job = make_job(true);
            uint64_t first = shares[i].file_offset + shares[i].position;
            uint64_t wrong = 0;

            job.overlap = mode & 1;
            job.single = mode & 2;
            job.position = shares[i].position;
            job.bytes = shares[i].bytes;
            job.file_offset = shares[i].file_offset;
            job.block_size = shares[i].block;
            CHECK(ftruncate(fd, 0) == 0 && ftruncate(fd, FILE_BYTES) == 0);
            for (uint64_t at = 0; at < 2 << 20; at++)
                buffer[at] = pattern(at);
            CHECK(run(engine, &job)->bytes == job.bytes);
            CHECK(pread(fd, image, FILE_BYTES, 0) == FILE_BYTES || errno == EINVAL);
            for (uint64_t at = 0; at < FILE_BYTES; at++)
                wrong += image[at] != (at >= first && at < first + job.bytes
                                           ? pattern(at - shares[i].file_offset)
                                           : 0);
            CHECK(wrong == 0);

            memset(buffer, 0, 2 << 20);
            job.write = false;
            CHECK(run(engine, &job)->bytes == job.bytes);
            wrong = 0;
            for (uint64_t at = 0; at < 2 << 20; at++)
                wrong += buffer[at] !=
                         (at >= job.position && at < job.position + job.bytes ? pattern(at) : 0);
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
    calls();
    faults();
    setup_fails();
    refused();
    halted();
    places();
    free(buffer);
    (void)close(fd);
    return check_result();
}
