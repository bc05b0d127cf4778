/* Watches the free space of the scratch file's filesystem, and gives the file up before others run
 * out of it. */
#ifndef AIO_SWEEP_SPACE_H
#define AIO_SWEEP_SPACE_H

#include "protocol/fault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SPACE_INTERVAL_MS 50

struct space {
    int fd;        /* of the file, which the target owns */
    int tripped_fd; /* readable once the file has been given up; -1: nothing is watched */
    int stop_fd;
    uint64_t min_free_bytes;
    /* The free space that was too little, or why it could not be read; valid once `tripped`. */
    uint64_t found_bytes;
    int errnum;
    atomic_bool tripped;
    pthread_t thread;
};

#define SPACE_CLOSED {.fd = -1, .tripped_fd = -1, .stop_fd = -1}

/* Returns a fault of code 75 if the filesystem of fd has less than min_free_bytes + span_bytes free
 * for users that are not root, one of code 74 if that cannot be read. */
int space_check(int fd, const char *path, uint64_t min_free_bytes, uint64_t span_bytes,
                struct fault *fault);

/*
 * Starts a thread that looks every 50 ms. If less than min_free_bytes are free, or that cannot be
 * read, it makes tripped_fd readable, so that no more requests are submitted, and truncates the file, which waits for those
 * in flight. With min_free_bytes 0 it does nothing.
 */
int space_open(struct space *space, int fd, uint64_t min_free_bytes, struct fault *fault);
void space_close(struct space *space);

/* Sets the fault of a file that was given up. Returns -1. */
int space_fault(const struct space *space, const char *path, struct fault *fault);

#endif
