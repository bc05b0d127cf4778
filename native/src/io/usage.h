/* CPU time of this process and of the host. */
#ifndef AIO_SWEEP_USAGE_H
#define AIO_SWEEP_USAGE_H

#include <stdint.h>

struct usage {
    uint64_t user_ns, system_ns; /* of this process */
    /* Of all processors, also by kernel threads (loop, dm-crypt, md) and interrupts, in ticks of
     * 10 ms; 0 if /proc/stat cannot be read. */
    uint64_t host_ns;
};

void usage_read(struct usage *ret);

/* Parses the first line of /proc/stat. Returns 0 for any other text. */
uint64_t usage_parse_host(const char *line);

/* Counts the threads that the kernel made for requests of io_uring which would have blocked. */
unsigned usage_io_workers(void);

#endif
