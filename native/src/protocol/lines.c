#include "protocol/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void lines_open(struct lines *lines, int fd)
{
    lines->fd = fd;
    lines->end = false;
    lines->length = lines->consumed = 0;
}

enum lines_state lines_next(struct lines *lines, const char **ret_line, size_t *ret_length)
{
    const char *start = lines->data + lines->consumed;
    size_t rest = lines->length - lines->consumed;
    const char *newline = memchr(start, '\n', rest);

    *ret_line = start;
    *ret_length = newline ? (size_t)(newline - start) : rest;
    if (*ret_length > REQUEST_MAX_LINE)
        return LINES_LONG;
    if (newline) {
        lines->consumed += *ret_length + 1;
        return LINES_LINE;
    }
    if (!lines->end)
        return LINES_MORE;
    return rest > 0 ? LINES_UNFINISHED : LINES_END;
}

int lines_read(struct lines *lines)
{
    ssize_t n;

    lines->length -= lines->consumed;
    memmove(lines->data, lines->data + lines->consumed, lines->length);
    lines->consumed = 0;
    n = read(lines->fd, lines->data + lines->length, sizeof(lines->data) - lines->length);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    lines->end = n == 0;
    lines->length += (size_t)n;
    return 0;
}
