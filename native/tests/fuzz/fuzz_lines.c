/* lines_next(): the lines are the bytes between the newlines, however read(2) splits them. The
 * input is a sequence of portions: a byte with 1/16 of the length, then the bytes. */
#include "fuzz/fuzz.h"
#include "protocol/lines.h"

#include <fcntl.h>
#include <unistd.h>

#define MAX_BYTES 16384

struct text {
    size_t size, taken;
    char bytes[MAX_BYTES];
};

/* Takes all complete lines. Returns false at the end of input or after an error. */
static bool take(struct lines *lines, struct text *text, bool is_at_end)
{
    for (;;) {
        const char *line, *wanted = text->bytes + text->taken;
        const char *newline = memchr(wanted, '\n', text->size - text->taken);
        size_t length, rest = newline ? (size_t)(newline - wanted) : text->size - text->taken;

        switch (lines_next(lines, &line, &length)) {
        case LINES_LINE:
            HOLDS(newline && length == rest && length <= REQUEST_MAX_LINE &&
                  memcmp(line, wanted, length) == 0);
            text->taken += length + 1;
            continue;
        case LINES_MORE:
            HOLDS(!newline && rest <= REQUEST_MAX_LINE);
            return true;
        case LINES_LONG:
            HOLDS(rest > REQUEST_MAX_LINE);
            return false;
        case LINES_UNFINISHED:
            HOLDS(is_at_end && !newline && rest > 0 && length == rest &&
                  memcmp(line, wanted, rest) == 0);
            return false;
        case LINES_END:
            HOLDS(is_at_end && rest == 0);
            return false;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct text text;
    static struct lines lines;
    bool is_open = true;
    int fds[2];

    text.size = text.taken = 0;
    HOLDS(pipe2(fds, O_CLOEXEC) == 0);
    lines_open(&lines, fds[0]);
    for (size_t at = 0; is_open && at < size;) {
        size_t portion = data[at++] * (size_t)16;

        portion = portion > size - at ? size - at : portion;
        if (portion == 0 || text.size + portion > MAX_BYTES)
            continue;
        memcpy(text.bytes + text.size, data + at, portion);
        text.size += portion;
        HOLDS(write(fds[1], data + at, portion) == (ssize_t)portion);
        at += portion;
        HOLDS(lines_read(&lines) == 0);
        is_open = take(&lines, &text, false);
    }
    (void)close(fds[1]);
    if (is_open) {
        HOLDS(lines_read(&lines) == 0);
        HOLDS(!take(&lines, &text, true));
    }
    (void)close(fds[0]);
    return 0;
}
