/* A closed descriptor stands for a filesystem whose free space cannot be read.
 * tests/native/test_scratch_space.py tests the rest on a real filesystem. */
#include "check.h"
#include "target/space.h"

#include <errno.h>
#include <poll.h>

#define CLOSED (-1)

static void a_file_is_not_created(void)
{
    struct fault fault = {0};

    CHECK(space_check(CLOSED, "/mnt", 1 << 20, 1 << 20, &fault) == -1);
    CHECK(fault.code == FAULT_IO && fault.errnum == EBADF);
    CHECK_TEXT(fault.message, "/mnt: free space cannot be read: Bad file descriptor");
    CHECK(space_check(CLOSED, "/mnt", 0, 1 << 20, &fault) == 0);
}

static void a_file_is_deleted(void)
{
    struct space space = SPACE_CLOSED;
    struct fault fault = {0};
    struct pollfd tripped = {.events = POLLIN};

    CHECK(space_open(&space, CLOSED, CLOSED, 1 << 20, &fault) == 0);
    tripped.fd = space.tripped_fd;
    CHECK(poll(&tripped, 1, 60000) == 1);
    CHECK(atomic_load(&space.tripped));
    CHECK(space_fault(&space, "/mnt", &fault) == -1);
    CHECK(fault.code == FAULT_IO && fault.errnum == EBADF);
    CHECK_TEXT(fault.message, "/mnt: free space can no longer be read: Bad file descriptor; the "
                              "scratch file was deleted");
    space_close(&space);
}

int main(void)
{
    a_file_is_not_created();
    a_file_is_deleted();
    return check_result();
}
