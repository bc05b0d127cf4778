#include "check.h"
#include "protocol/lines.h"

#include <errno.h>
#include <unistd.h>

static void feed(int fd, const char *text)
{
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void split(void)
{
    struct lines lines;
    const char *line;
    size_t length;
    int fds[2];

    CHECK(pipe(fds) == 0);
    lines_open(&lines, fds[0]);
    CHECK(lines_next(&lines, &line, &length) == LINES_MORE);
    feed(fds[1], "one\n\ntw");
    CHECK(lines_read(&lines) == 0);
    CHECK(lines_next(&lines, &line, &length) == LINES_LINE && length == 3);
    CHECK(lines_next(&lines, &line, &length) == LINES_LINE && length == 0);
    CHECK(lines_next(&lines, &line, &length) == LINES_MORE);
    feed(fds[1], "o\nthree");
    CHECK(lines_read(&lines) == 0);
    CHECK(lines_next(&lines, &line, &length) == LINES_LINE && length == 3);
    CHECK(memcmp(line, "two", 3) == 0);
    (void)close(fds[1]);
    CHECK(lines_read(&lines) == 0);
    CHECK(lines_next(&lines, &line, &length) == LINES_UNFINISHED && length == 5);
    (void)close(fds[0]);
    CHECK(lines_read(&lines) == -EBADF);
}

static void long_lines(void)
{
    char text[REQUEST_MAX_LINE + 3];
    struct lines lines;
    const char *line;
    size_t length;
    int fds[2];

    memset(text, 'x', sizeof(text));
    text[REQUEST_MAX_LINE] = '\n';
    text[REQUEST_MAX_LINE + 1] = '\0';
    CHECK(pipe(fds) == 0);
    lines_open(&lines, fds[0]);
    for (int i = 0; i < 20; i++) {
        feed(fds[1], text);
        CHECK(lines_read(&lines) == 0);
        CHECK(lines_next(&lines, &line, &length) == LINES_LINE && length == REQUEST_MAX_LINE);
        CHECK(lines_next(&lines, &line, &length) == LINES_MORE);
    }
    text[REQUEST_MAX_LINE] = 'x';
    feed(fds[1], text);
    CHECK(lines_read(&lines) == 0);
    CHECK(lines_next(&lines, &line, &length) == LINES_LONG && length > REQUEST_MAX_LINE);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    split();
    long_lines();
    return check_result();
}
