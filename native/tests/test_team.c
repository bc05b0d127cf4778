#include "check.h"
#include "faults.h"
#include "io/team.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { UNIT = 4096, BYTES = 64 * 24 * UNIT };

static int fd;
static char *buffer;

static struct transfer make_transfer(bool write, unsigned threads, unsigned depth)
{
    return (struct transfer){.fd = fd,
                             .write = write,
                             .allow_write = write,
                             .overlap = true,
                             .block_size = 5 * UNIT,
                             .queue_depth = depth,
                             .threads = threads,
                             .buffer = buffer,
                             .bytes = BYTES};
}

static uint64_t go(struct team *team, const struct transfer *transfer)
{
    struct pollfd poll_fd = {.fd = team_done_fd(team), .events = POLLIN};
    uint64_t finish_ns = 0, start_ns = team_start(team, transfer);

    do
        CHECK(poll(&poll_fd, 1, 20000) == 1);
    while (!team_collect(team, &finish_ns));
    CHECK(finish_ns > start_ns);
    return finish_ns - start_ns;
}

/* With every thread count and mode, each byte is written to its offset and read back. */
static void places(struct team *team)
{
    static const unsigned counts[] = {1, 2, 3, 4, 8, 64};
    char *copy = malloc(BYTES);
    struct fault fault;

    if (!copy)
        abort();
    for (size_t i = 0; i < 6; i++) {
        for (int mode = 0; mode < 4; mode++) {
            struct transfer transfer = make_transfer(true, counts[i], 4);
            struct engine_stats sum;

            transfer.overlap = mode & 1;
            transfer.single = mode & 2;
            transfer.file_offset = (uint64_t)mode * UNIT;
            for (size_t at = 0; at < BYTES; at++)
                buffer[at] = (char)(at * 13 + (at >> 8) + (size_t)mode + i);
            memcpy(copy, buffer, BYTES);
            CHECK(team_prepare(team, counts[i], 4, &fault) == 0);
            (void)go(team, &transfer);
            CHECK(team_progress(team) == BYTES && !team_error(team));
            memset(buffer, 0, BYTES);
            CHECK(pread(fd, buffer, BYTES, (off_t)transfer.file_offset) == BYTES);
            CHECK(memcmp(copy, buffer, BYTES) == 0);
            memset(buffer, 0, BYTES);
            transfer.write = false;
            (void)go(team, &transfer);
            CHECK(memcmp(copy, buffer, BYTES) == 0);
            team_sum(team, &sum);
            CHECK(sum.bytes == 2 * BYTES && sum.latency.count == sum.requests);
        }
    }
    free(copy);
}

/* An error of one thread stops the transfer of all; the team works again afterwards. */
static void one_fails(struct team *team)
{
    struct transfer transfer = make_transfer(false, 8, 4);
    struct fault fault;

    CHECK(team_prepare(team, 8, 4, &fault) == 0);
    injected.value = -ENODEV;
    injected.after = 0;
    injected.times = 1;
    injected.kind = SUBMIT_ERROR;
    (void)go(team, &transfer);
    injected.kind = NO_FAULT;
    CHECK(team_error(team) && team_error(team)->errnum == ENODEV);
    CHECK(team_prepare(team, 8, 4, &fault) == 0);
    (void)go(team, &transfer);
    CHECK(!team_error(team) && team_progress(team) == BYTES);
}

static void refused(struct team *team)
{
    struct transfer transfer = make_transfer(true, 4, 4);
    struct fault fault;
    int before = atomic_load(&submit_calls);

    transfer.allow_write = false;
    CHECK(team_prepare(team, 4, 4, &fault) == 0);
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
    CHECK(team_prepare(team, 2, 77, &fault) == 0);
    (void)go(team, &transfer);
    CHECK(!team_error(team));
    injected.times = -1;
    CHECK(team_prepare(team, 2, 78, &fault) < 0);
    injected.kind = NO_FAULT;
    CHECK(fault.code == FAULT_SYSTEM && fault.errnum == EAGAIN);
    CHECK(strstr(fault.message, "fs.aio-nr") && strstr(fault.message, "fs.aio-max-nr"));
    CHECK(team_prepare(team, 2, 79, &fault) == 0);
}

/* Engines are reused: a known queue depth calls no io_setup. More depths than POOL_SIZE work too.
 */
static void contexts(struct team *team)
{
    struct fault fault;
    int before;

    for (unsigned depth = 1; depth <= 12; depth++)
        CHECK(team_prepare(team, 2, depth, &fault) == 0);
    before = atomic_load(&setup_calls);
    for (unsigned depth = 5; depth <= 12; depth++)
        CHECK(team_prepare(team, 2, depth, &fault) == 0);
    CHECK(atomic_load(&setup_calls) == before);
}

int main(void)
{
    char path[] = "/tmp/aio-sweep-team-XXXXXX";
    struct team *team;
    struct fault fault;

    fd = mkstemp(path);
    CHECK(fd >= 0);
    (void)unlink(path);
    if (posix_memalign((void **)&buffer, UNIT, BYTES) != 0)
        abort();
    memset(buffer, 0, BYTES);
    CHECK(ftruncate(fd, BYTES + 16 * UNIT) == 0);
    CHECK(team_create(&team, &fault) == 0);
    if (team_prepare(team, 1, 1, &fault) < 0)
        return CHECK_SKIP;
    places(team);
    one_fails(team);
    refused(team);
    setup_fails(team);
    contexts(team);
    team_destroy(team);
    free(buffer);
    (void)close(fd);
    return check_result();
}
