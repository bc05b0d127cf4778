#include "protocol/emit.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Every line fits but a `point` of more than about 1,500 transfers. */
#define FIRST_CAPACITY 16384

int emit_open(struct emit *emit, int fd)
{
    *emit = (struct emit){.fd = fd, .capacity = FIRST_CAPACITY};
    emit->data = malloc(FIRST_CAPACITY);
    return emit->data ? 0 : -ENOMEM;
}

void emit_close(struct emit *emit)
{
    free(emit->data);
    *emit = (struct emit){.fd = -1};
}

static void put(struct emit *emit, const char *bytes, size_t length)
{
    if (emit->error)
        return;
    if (length > emit->capacity - emit->length) {
        size_t wanted = 2 * (emit->length + length);
        char *larger = realloc(emit->data, wanted);

        if (!larger) {
            emit->error = -ENOMEM;
            return;
        }
        emit->data = larger;
        emit->capacity = wanted;
    }
    memcpy(emit->data + emit->length, bytes, length);
    emit->length += length;
}

static void put_text(struct emit *emit, const char *text)
{
    put(emit, text, strlen(text));
}

static void put_uint(struct emit *emit, uint64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    put(emit, digits + at, sizeof(digits) - at);
}

static void put_quoted(struct emit *emit, const char *bytes, size_t length)
{
    put(emit, "\"", 1);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        char escaped[8];

        if (byte == '"' || byte == '\\')
            (void)snprintf(escaped, sizeof(escaped), "\\%c", byte);
        else if (byte < 0x20 || byte > 0x7e)
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
        else
            (void)snprintf(escaped, sizeof(escaped), "%c", byte);
        put_text(emit, escaped);
    }
    put(emit, "\"", 1);
}

/* Keys are string literals that need no escaping. */
static void put_key(struct emit *emit, const char *key)
{
    put_text(emit, emit->comma ? ",\"" : "\"");
    put_text(emit, key);
    put_text(emit, "\":");
    emit->comma = true;
}

void emit_begin(struct emit *emit, const char *type)
{
    emit->length = 0;
    emit->comma = false;
    put(emit, "{", 1);
    emit_string(emit, "type", type);
}

void emit_uint(struct emit *emit, const char *key, uint64_t value)
{
    put_key(emit, key);
    put_uint(emit, value);
}

void emit_bool(struct emit *emit, const char *key, bool value)
{
    put_key(emit, key);
    put_text(emit, value ? "true" : "false");
}

void emit_bytes(struct emit *emit, const char *key, const char *bytes, size_t length)
{
    put_key(emit, key);
    put_quoted(emit, bytes, length);
}

void emit_string(struct emit *emit, const char *key, const char *text)
{
    emit_bytes(emit, key, text, strlen(text));
}

void emit_uints(struct emit *emit, const char *key, const uint64_t *values, size_t count)
{
    put_key(emit, key);
    put(emit, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put(emit, ",", 1);
        put_uint(emit, values[i]);
    }
    put(emit, "]", 1);
}

void emit_enter(struct emit *emit, const char *key)
{
    put_key(emit, key);
    put(emit, "{", 1);
    emit->comma = false;
}

void emit_leave(struct emit *emit)
{
    put(emit, "}", 1);
    emit->comma = true;
}

int emit_send(struct emit *emit)
{
    size_t sent = 0;

    put(emit, "}\n", 2);
    while (!emit->error && sent < emit->length) {
        ssize_t n = write(emit->fd, emit->data + sent, emit->length - sent);

        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            /* Another process can make a shared descriptor non-blocking. */
            struct pollfd poll_fd = {.fd = emit->fd, .events = POLLOUT};

            (void)poll(&poll_fd, 1, -1);
        } else if (errno != EINTR) {
            emit->error = -errno;
        }
    }
    return emit->error;
}
