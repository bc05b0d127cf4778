/* Splits the bytes of a descriptor into request lines. */
#ifndef AIO_SWEEP_LINES_H
#define AIO_SWEEP_LINES_H

#include "protocol/request.h"

struct lines {
    int fd;
    bool end; /* of file */
    size_t length, consumed;
    char data[4 * (REQUEST_MAX_LINE + 1)];
};

enum lines_state {
    LINES_LINE,       /* a complete line, without its newline */
    LINES_MORE,       /* no complete line yet: call lines_read() */
    LINES_END,        /* no more lines */
    LINES_LONG,       /* the start of a line longer than REQUEST_MAX_LINE */
    LINES_UNFINISHED, /* the input ended within a line */
};

void lines_open(struct lines *lines, int fd);

/* Returns the next line that has been read. *ret_line points into *lines and is valid until the
 * next call of either function. */
enum lines_state lines_next(struct lines *lines, const char **ret_line, size_t *ret_length);

/* Calls read(2) once. Returns 0 or -errno. No other function reads. */
int lines_read(struct lines *lines);

#endif
