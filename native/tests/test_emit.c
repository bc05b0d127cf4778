#include "check.h"
#include "protocol/emit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void one_line(void)
{
    static const char bytes[] = "a\"b\\c\n\t\0\x7f\xc3\xa9/";
    const uint64_t values[] = {0, 10, UINT64_MAX};
    char got[1024];
    struct emit emit;
    int fds[2];
    ssize_t n;

    CHECK(pipe(fds) == 0);
    CHECK(emit_open(&emit, fds[1]) == 0);
    emit_begin(&emit, "t");
    emit_uint(&emit, "n", 0);
    emit_bool(&emit, "y", true);
    emit_enter(&emit, "o");
    emit_bytes(&emit, "s", bytes, sizeof(bytes) - 1);
    emit_string(&emit, "e", "");
    emit_leave(&emit);
    emit_uints(&emit, "v", values, 3);
    emit_uints(&emit, "w", values, 0);
    CHECK(emit_send(&emit) == 0);
    n = read(fds[0], got, sizeof(got) - 1);
    got[n > 0 ? n : 0] = '\0';
    CHECK_TEXT(
        got, "{\"type\":\"t\",\"n\":0,\"y\":true,\"o\":{\"s\":\"a\\\"b\\\\c\\u000a\\u0009\\u0000"
             "\\u007f\\u00c3\\u00a9/\",\"e\":\"\"},\"v\":[0,10,18446744073709551615],\"w\":[]}\n");
    (void)close(fds[0]);
    (void)signal(SIGPIPE, SIG_IGN);
    emit_begin(&emit, "t");
    CHECK(emit_send(&emit) == -EPIPE);
    emit_begin(&emit, "t");
    CHECK(emit_send(&emit) == -EPIPE);
    emit_close(&emit);
    (void)close(fds[1]);
}

/* A line longer than the buffer of a pipe, through a non-blocking descriptor. */
static void long_line(void)
{
    enum { COUNT = 65536 };
    uint64_t *values;
    struct emit emit;
    int fds[2];
    pid_t child;

    CHECK(pipe(fds) == 0);
    CHECK(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    child = fork();
    if (child == 0) {
        char data[4096];
        size_t total = 0;
        ssize_t n;

        (void)close(fds[1]);
        while ((n = read(fds[0], data, sizeof(data))) > 0)
            total += (size_t)n;
        _exit(total == 20 + COUNT * 8 - 1 ? 0 : 1);
    }
    values = malloc(COUNT * sizeof(uint64_t));
    if (!values)
        abort();
    for (size_t i = 0; i < COUNT; i++)
        values[i] = 1000000 + i;
    CHECK(emit_open(&emit, fds[1]) == 0);
    emit_begin(&emit, "t");
    emit_uints(&emit, "v", values, COUNT);
    CHECK(emit_send(&emit) == 0);
    (void)close(fds[1]);
    (void)close(fds[0]);
    {
        int status = -1;

        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    emit_close(&emit);
    free(values);
}

int main(void)
{
    one_line();
    long_line();
    return check_result();
}
