/* io_uring: a ring of one thread, without a thread of the kernel that polls it. */
#include "io/engine_ops.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

/* Newer than the headers of Ubuntu 22.04. */
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12) /* Linux 6.0 */
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13) /* Linux 6.1 */
#endif

/* The kernel registers at most 1 GiB an entry. Entries overlap by the longest request, so that each
 * request lies in one. */
#define ENTRY_BYTES   (UINT64_C(1) << 30)
#define LONGEST_BYTES (UINT64_C(64) << 20)
#define STEP_BYTES    (ENTRY_BYTES - LONGEST_BYTES)
#define MAX_ENTRIES   1024 /* UIO_MAXIOV */

static size_t state_bytes(unsigned depth)
{
    (void)depth;
    return sizeof(struct io_uring);
}

static int register_memory(struct io_uring *ring, const struct engine_key *key)
{
    struct iovec entries[MAX_ENTRIES];
    unsigned count = 0;
    int r;

    for (uint64_t at = 0; at < key->bytes; at += STEP_BYTES) {
        uint64_t rest = key->bytes - at;

        if (count == MAX_ENTRIES)
            return -E2BIG;
        entries[count++] =
            (struct iovec){.iov_base = key->buffer + at,
                           .iov_len = (size_t)(rest < ENTRY_BYTES ? rest : ENTRY_BYTES)};
    }
    r = io_uring_register_buffers(ring, entries, count);
    return r < 0 ? r : io_uring_register_files(ring, &key->fd, 1);
}

static int open_ring(struct engine *engine)
{
    /* With the first flag the kernel takes fewer locks; with the second, completions run in the
     * calls that wait, and interrupt nothing. */
    static const unsigned tries[] = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                     IORING_SETUP_SINGLE_ISSUER, 0};
    struct io_uring *ring = engine->state;
    unsigned features = 0;
    int r = -EINVAL;

    for (unsigned i = 0; r == -EINVAL && i < 3; i++) {
        struct io_uring_params params = {.flags = tries[i]};

        r = io_uring_queue_init_params(engine->key.depth, ring, &params);
        features = params.features;
    }
    if (r < 0)
        return r;
    if (!(features & IORING_FEAT_RW_CUR_POS))
        r = -ENOSYS; /* IORING_OP_READ and _WRITE are as new: Linux 5.6 */
    else if (engine->key.bytes > 0)
        r = register_memory(ring, &engine->key);
    if (r < 0)
        io_uring_queue_exit(ring);
    return r;
}

static void close_ring(struct engine *engine)
{
    io_uring_queue_exit(engine->state);
}

static void fill(const struct engine *engine, struct io_uring_sqe *sqe, struct slot *slot)
{
    const struct place *place = &slot->place;
    const struct engine_key *key = &engine->key;
    bool fixed = key->bytes > 0;
    int fd = fixed ? 0 : engine->fd; /* the first registered file */
    int entry = fixed ? (int)((uint64_t)(place->memory - key->buffer) / STEP_BYTES) : 0;

    if (fixed && place->write)
        io_uring_prep_write_fixed(sqe, fd, place->memory, place->length, place->offset, entry);
    else if (fixed)
        io_uring_prep_read_fixed(sqe, fd, place->memory, place->length, place->offset, entry);
    else if (place->write)
        io_uring_prep_write(sqe, fd, place->memory, place->length, place->offset);
    else
        io_uring_prep_read(sqe, fd, place->memory, place->length, place->offset);
    if (fixed)
        sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data(sqe, slot);
}

/* Takes back the entries that the kernel has not consumed: it reads the tail only in a call of this
 * thread. Returns their number. */
static unsigned withdraw(struct io_uring *ring)
{
    unsigned rest = io_uring_sq_ready(ring);

    ring->sq.sqe_tail -= rest;
    ring->sq.sqe_head = ring->sq.sqe_tail;
    io_uring_smp_store_release(ring->sq.ktail, ring->sq.sqe_tail);
    return rest;
}

static int submit(struct engine *engine, struct slot **slots, unsigned count, unsigned wait,
                  struct engine_stats *stats)
{
    struct io_uring *ring = engine->state;
    unsigned taken;
    int r;

    /* The ring has at least `depth` entries, and none is left from an earlier call. */
    for (unsigned i = 0; i < count; i++)
        fill(engine, io_uring_get_sqe(ring), slots[i]);
    if (engine_refuses(engine, slots, count)) {
        (void)withdraw(ring);
        return ENGINE_REFUSES;
    }
    stats->submits++;
    r = io_uring_submit_and_wait(ring, wait);
    taken = count - withdraw(ring);
    if (taken > 0 || r >= 0)
        return (int)taken;
    return r == -EBUSY ? -EAGAIN : r;
}

static int reap(struct engine *engine, unsigned least, unsigned most, struct engine_stats *stats)
{
    struct io_uring *ring = engine->state;
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    if (io_uring_cq_ready(ring) < least) {
        int r;

        stats->reaps++;
        r = io_uring_submit_and_wait(ring, least);
        if (r < 0)
            return r;
    }
    io_uring_for_each_cqe(ring, head, cqe)
    {
        if (count == most)
            break;
        engine->completions[count++] =
            (struct completion){.slot = io_uring_cqe_get_data(cqe), .result = cqe->res};
    }
    io_uring_cq_advance(ring, count);
    return (int)count;
}

static const char *explain(int errnum)
{
    switch (errnum) {
    case ENOSYS:
        return "this kernel has no io_uring; use Linux 5.6 or newer with CONFIG_IO_URING";
    case EPERM:
    case EACCES:
        return "io_uring is forbidden here; allow it by kernel.io_uring_disabled=0 and in the "
               "seccomp filter of the service or container";
    case ENOMEM:
        return "too little memory for a ring; raise LimitMEMLOCK= of the unit or ulimit -l";
    default:
        return strerror(errnum);
    }
}

const struct engine_ops io_uring_ops = {
    .calls = {"io_uring_setup", "io_uring_enter", "io_uring_enter"},
    .state_bytes = state_bytes,
    .open = open_ring,
    .close = close_ring,
    .submit = submit,
    .reap = reap,
    .explain = explain,
};
