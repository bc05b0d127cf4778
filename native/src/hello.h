/* The `hello` line of PROTOCOL.md section 4. */
#ifndef AIO_SWEEP_HELLO_H
#define AIO_SWEEP_HELLO_H

#include "context.h"

void hello_write(struct context *context);

#endif
