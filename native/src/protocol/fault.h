/* An error as PROTOCOL.md section 6 defines it: an exit code, an errno and one sentence. */
#ifndef AIO_SWEEP_FAULT_H
#define AIO_SWEEP_FAULT_H

/* The exit codes are part of the interface. */
enum fault_code {
    FAULT_NONE = 0,
    FAULT_USAGE = 64,
    FAULT_REQUEST = 65,
    FAULT_TARGET = 66,
    FAULT_BUSY = 69,
    FAULT_SYSTEM = 71,
    FAULT_IO = 74,
    FAULT_LATER = 75, /* the scratch file was given up, because others need the space */
};

struct fault {
    enum fault_code code;
    int errnum;     /* a positive errno, 0 if none */
    const char *op; /* a literal */
    char message[1024];
};

/* Fills *fault and returns -1, so that a caller can `return fault_set(...)`. */
int fault_set(struct fault *fault, enum fault_code code, const char *op, int errnum,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Returns "ENOSPC" for ENOSPC, "" for 0, "E<number>" for one that is not in the table. Not
 * thread-safe. */
const char *fault_errno_name(int errnum);

#endif
