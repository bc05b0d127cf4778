#include "check.h"
#include "faults.h"
#include "io/team.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { UNIT = 4096, BYTES = 64 * 24 * UNIT };

static int fd, fds[TEAM_MAX_GROUPS];
static char *buffer;

static struct transfer make_transfer(bool write, unsigned threads, unsigned depth)
{
    return (struct transfer){.fds = fds,
                             .allow_write = write,
                             .overlap = true,
                             .queue_depth = depth,
                             .threads = threads,
                             .groups = 1,
                             .bytes = BYTES,
                             .plan = {.direction = write ? DIRECTION_WRITE : DIRECTION_READ,
                                      .block_size = 5 * UNIT,
                                      .buffer = buffer}};
}

static uint64_t go(struct team *team, const struct transfer *transfer)
{
    struct pollfd poll_fd = {.fd = team_done_fd(team), .events = POLLIN};
    uint64_t finish_ns[TEAM_MAX_GROUPS], start_ns = team_start(team, transfer);

    do
        CHECK(poll(&poll_fd, 1, 20000) == 1);
    while (!team_collect(team, finish_ns));
    for (unsigned group = 0; group < TEAM_MAX_GROUPS; group++)
        CHECK(group < transfer->groups ? finish_ns[group] > start_ns : finish_ns[group] == 0);
    return finish_ns[0] - start_ns;
}

/* With every engine, thread count, number of groups and mode, each byte is written to its offset
 * and read back. */
static void places(struct team *team, enum engine_kind kind)
{
    static const struct {
        unsigned threads, groups;
    } counts[] = {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {2, 4}, {8, 1}, {1, 16}, {64, 1}, {64, 8}};
    char *copy = malloc(BYTES);
    struct fault fault;

    if (!copy)
        abort();
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (int mode = 0; mode < 4; mode++) {
            struct transfer transfer =
                make_transfer(true, counts[i].threads, kind == ENGINE_PSYNC ? 1 : 4);
            struct engine_stats sum;

            if (counts[i].threads * counts[i].groups > 64 && kind != ENGINE_PSYNC)
                continue;
            transfer.engine = kind;
            transfer.groups = counts[i].groups;

            transfer.overlap = mode & 1;
            transfer.single = mode & 2;
            transfer.plan.file_offset = (uint64_t)mode * UNIT;
            for (size_t at = 0; at < BYTES; at++)
                buffer[at] = (char)(at * 13 + (at >> 8) + (size_t)mode + i);
            memcpy(copy, buffer, BYTES);
            CHECK(team_prepare(team, &transfer, &fault) == 0);
            (void)go(team, &transfer);
            CHECK(team_progress(team) == BYTES && !team_error(team));
            CHECK(team_written(team) == BYTES);
            memset(buffer, 0, BYTES);
            CHECK(__real_pread(fd, buffer, BYTES, (off_t)transfer.plan.file_offset) == BYTES);
            CHECK(memcmp(copy, buffer, BYTES) == 0);
            memset(buffer, 0, BYTES);
            transfer.plan.direction = DIRECTION_READ;
            (void)go(team, &transfer);
            CHECK(memcmp(copy, buffer, BYTES) == 0);
            CHECK(team_written(team) == 0);
            team_sum(team, &sum);
            CHECK(sum.requests >= 2 * BYTES / (5 * UNIT) && sum.latency.count == sum.requests);
        }
    }
    free(copy);
}

/* An error of one thread stops the transfer of all; the team works again afterwards. */
static void one_fails(struct team *team)
{
    struct transfer transfer = make_transfer(false, 8, 4);
    struct fault fault;

    CHECK(team_prepare(team, &transfer, &fault) == 0);
    injected.value = -ENODEV;
    injected.after = 0;
    injected.times = 1;
    injected.kind = SUBMIT_ERROR;
    (void)go(team, &transfer);
    injected.kind = NO_FAULT;
    CHECK(team_error(team) && team_error(team)->errnum == ENODEV);
    CHECK(team_prepare(team, &transfer, &fault) == 0);
    (void)go(team, &transfer);
    CHECK(!team_error(team) && team_progress(team) == BYTES);
}

static void refused(struct team *team)
{
    struct transfer transfer = make_transfer(true, 4, 4);
    struct fault fault;
    int before = atomic_load(&submit_calls);

    transfer.allow_write = false;
    CHECK(team_prepare(team, &transfer, &fault) == 0);
    (void)go(team, &transfer);
    CHECK(team_error(team) && team_error(team)->error == ENGINE_REFUSED);
    CHECK(atomic_load(&submit_calls) == before);
}

static void setup_fails(struct team *team)
{
    struct transfer transfer = make_transfer(false, 2, 77);
    struct fault fault = {0};

    /* One EAGAIN: unused engines are destroyed and io_setup is tried again. */
    injected.value = -EAGAIN;
    injected.after = 0;
    injected.times = 1;
    injected.kind = SETUP_ERROR;
    CHECK(team_prepare(team, &transfer, &fault) == 0);
    (void)go(team, &transfer);
    CHECK(!team_error(team));
    injected.times = -1;
    transfer.queue_depth = 78;
    CHECK(team_prepare(team, &transfer, &fault) < 0);
    injected.kind = NO_FAULT;
    CHECK(fault.code == FAULT_SYSTEM && fault.errnum == EAGAIN);
    CHECK(strstr(fault.message, "fs.aio-nr") && strstr(fault.message, "fs.aio-max-nr"));
    transfer.queue_depth = 79;
    CHECK(team_prepare(team, &transfer, &fault) == 0);
}

static void prepare_depths(struct team *team, unsigned threads, unsigned first, unsigned last)
{
    struct fault fault;

    for (unsigned depth = first; depth <= last; depth++) {
        struct transfer transfer = make_transfer(false, threads, depth);

        CHECK(team_prepare(team, &transfer, &fault) == 0);
    }
}

/* Engines are reused: a known queue depth calls no io_setup. More depths than POOL_SIZE work too.
 */
static void contexts(struct team *team)
{
    int before;

    prepare_depths(team, 2, 1, 12);
    before = atomic_load(&setup_calls);
    prepare_depths(team, 2, 5, 12);
    CHECK(atomic_load(&setup_calls) == before);
}

static uint64_t read_number(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long value = 0;

    CHECK(file && fscanf(file, "%lu", &value) == 1);
    if (file)
        (void)fclose(file);
    return value;
}

/* Contexts that are not in use take an eighth of the system's AIO events at most: other processes
 * need them. */
static void kept_contexts(struct team *team)
{
    uint64_t limit = read_number("/proc/sys/fs/aio-max-nr"), in_use = 64 * 112;
    uint64_t before = read_number("/proc/sys/fs/aio-nr");

    if (limit - before < 64 * (112 + 111)) /* with the one that a new one replaces */
        return;
    prepare_depths(team, 64, 105, 112);
    CHECK(read_number("/proc/sys/fs/aio-nr") <= before + in_use + limit / 8);
}

/* At random, the threads of all groups use each block of the span once before any twice. */
static void random_places(struct team *team, enum engine_kind kind)
{
    enum { BLOCKS = BYTES / UNIT / 4 };
    struct transfer transfer = make_transfer(true, 3, kind == ENGINE_PSYNC ? 1 : 4);
    struct fault fault;
    unsigned seen[BLOCKS] = {0}, in_place = 0;

    transfer.engine = kind;
    transfer.groups = 2;
    transfer.plan.block_size = 4 * UNIT;
    transfer.plan.random = true;
    permutation_init(&transfer.plan.permutation, BLOCKS, 7);
    /* Two transfers of half the span, of an odd number of blocks. */
    transfer.bytes = BYTES / 2 - 4 * UNIT;
    for (int half = 0; half < 2; half++) {
        for (uint64_t at = 0; at < transfer.bytes; at += 4 * UNIT)
            *(uint64_t *)(void *)(buffer + at) = 1 + transfer.plan.first_block + at / (4 * UNIT);
        CHECK(team_prepare(team, &transfer, &fault) == 0);
        (void)go(team, &transfer);
        CHECK(team_progress(team) == transfer.bytes);
        transfer.plan.first_block += transfer.bytes / (4 * UNIT);
        if (half == 0) {
            transfer.bytes = BYTES / 2 + 4 * UNIT;
            transfer.plan.block_size = 4 * UNIT;
        }
    }
    for (uint64_t i = 0; i < BLOCKS; i++) {
        uint64_t number = 0;

        CHECK(__real_pread(fd, &number, sizeof(number), (off_t)(i * 4 * UNIT)) == 8);
        CHECK(number >= 1 && number <= BLOCKS);
        if (number >= 1 && number <= BLOCKS)
            seen[number - 1]++;
        in_place += number == i + 1;
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        CHECK(seen[i] == 1);
    CHECK(in_place < BLOCKS / 16);
}

/* A mix has the share of reads that was asked for, and is the same for the same seed. */
static void mixed(struct team *team)
{
    struct transfer transfer = make_transfer(true, 4, 4);
    uint64_t written[3];
    struct fault fault;

    transfer.plan.direction = DIRECTION_MIXED;
    transfer.plan.read_percent = 70;
    transfer.plan.block_size = UNIT;
    for (unsigned i = 0; i < 3; i++) {
        transfer.plan.seed = i / 2;
        CHECK(team_prepare(team, &transfer, &fault) == 0);
        (void)go(team, &transfer);
        CHECK(team_progress(team) == BYTES);
        written[i] = team_written(team);
        CHECK(written[i] > BYTES / 4 && written[i] < BYTES * 35 / 100);
    }
    CHECK(written[0] == written[1]);
}

int main(void)
{
    char path[] = "/tmp/aio-sweep-team-XXXXXX";
    struct transfer transfer;
    struct team *team;
    struct fault fault;

    fd = mkstemp(path);
    CHECK(fd >= 0);
    (void)unlink(path);
    if (posix_memalign((void **)&buffer, UNIT, BYTES) != 0)
        abort();
    memset(buffer, 0, BYTES);
    CHECK(ftruncate(fd, BYTES + 16 * UNIT) == 0);
    for (int group = 0; group < TEAM_MAX_GROUPS; group++)
        fds[group] = fd;
    CHECK(team_create(&team, &fault) == 0);
    transfer = make_transfer(false, 1, 1);
    if (team_prepare(team, &transfer, &fault) < 0)
        return CHECK_SKIP;
    for (int kind = 0; kind < ENGINE_KINDS; kind++) {
        char reason[256];

        engine_probe((enum engine_kind)kind, reason);
        if (reason[0])
            continue;
        for (int may_tree = 0; may_tree < 2; may_tree++) {
            team_let_tree(team, may_tree);
            places(team, (enum engine_kind)kind);
        }
        random_places(team, (enum engine_kind)kind);
    }
    mixed(team);
    kept_contexts(team);
    one_fails(team);
    refused(team);
    setup_fails(team);
    contexts(team);
    team_destroy(team);
    free(buffer);
    (void)close(fd);
    return check_result();
}
