/* Watches the free space of the scratch file's filesystem, and empties the file before other
 * processes run out of space. */
#ifndef AIO_SWEEP_SPACE_H
#define AIO_SWEEP_SPACE_H

#include "protocol/fault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SPACE_INTERVAL_MS 50

struct space {
    int fd;         /* of the scratch file; owned by the target */
    int new_fd;     /* of the second one, which grows during requests with new_file; -1: none */
    int tripped_fd; /* readable after the limit was crossed; -1: not watching */
    int stop_fd;
    uint64_t min_free_bytes;
    /* Valid once `tripped`: the free space that was too low, or the errno of reading it. */
    uint64_t found_bytes;
    int errnum;
    atomic_bool tripped;
    pthread_t thread;
};

#define SPACE_CLOSED {.fd = -1, .new_fd = -1, .tripped_fd = -1, .stop_fd = -1}

/* Returns 0, or -1: FAULT_LATER if less than min_free_bytes + span_bytes are free for users other
 * than root, FAULT_IO if the free space cannot be read. With min_free_bytes 0 it returns 0. */
int space_check(int fd, const char *path, uint64_t min_free_bytes, uint64_t span_bytes,
                struct fault *fault);

/*
 * Starts a thread that reads the free space every 50 ms. Below min_free_bytes, or if the read
 * fails, it makes tripped_fd readable, so that no more requests are submitted, and truncates the
 * files, which waits for those in flight. With min_free_bytes 0 it does nothing. Returns 0, or -1
 * with FAULT_SYSTEM.
 */
int space_open(struct space *space, int fd, int new_fd, uint64_t min_free_bytes,
               struct fault *fault);
void space_close(struct space *space);

/* Sets the fault after `tripped`. Returns -1. */
int space_fault(const struct space *space, const char *path, struct fault *fault);

#endif
