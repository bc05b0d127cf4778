/* An error: exit code of PROTOCOL.md section 6, errno and message. */
#ifndef AIO_SWEEP_FAULT_H
#define AIO_SWEEP_FAULT_H

enum fault_code {
    FAULT_NONE = 0,
    FAULT_USAGE = 64,
    FAULT_REQUEST = 65,
    FAULT_TARGET = 66,
    FAULT_BUSY = 69,
    FAULT_SYSTEM = 71,
    FAULT_IO = 74,
    FAULT_LATER = 75, /* less than --min-free-bytes is free */
};

struct fault {
    enum fault_code code;
    int errnum;     /* a positive errno, 0 if none */
    const char *op; /* a string literal: the operation that failed */
    char message[1024];
};

/* Fills *fault and returns -1, so that a caller can `return fault_set(...)`. */
int fault_set(struct fault *fault, enum fault_code code, const char *op, int errnum,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Returns "ENOSPC" for ENOSPC, "" for 0, "E<number>" for an unknown errno. Not thread-safe. */
const char *fault_errno_name(int errnum);

#endif
