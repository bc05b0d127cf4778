/* Writes one JSON object (RFC 8259, ASCII) a line, by one write(2) unless it is partial. */
#ifndef AIO_SWEEP_EMIT_H
#define AIO_SWEEP_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct emit {
    int fd;
    char *data;
    size_t length, capacity;
    bool comma; /* the next member needs a comma before it */
    int error;  /* 0, or -errno of the first failure; -EPIPE: the reader closed the pipe */
};

/* Returns 0 or -ENOMEM. */
int emit_open(struct emit *emit, int fd);
void emit_close(struct emit *emit);

void emit_begin(struct emit *emit, const char *type);
void emit_uint(struct emit *emit, const char *key, uint64_t value);
void emit_bool(struct emit *emit, const char *key, bool value);
void emit_string(struct emit *emit, const char *key, const char *text);
void emit_bytes(struct emit *emit, const char *key, const char *bytes, size_t length);
void emit_uints(struct emit *emit, const char *key, const uint64_t *values, size_t count);
void emit_enter(struct emit *emit, const char *key); /* key:{ */
void emit_leave(struct emit *emit);                  /* } */

/* Ends the object and writes the line. Returns emit->error. */
int emit_send(struct emit *emit);

#endif
