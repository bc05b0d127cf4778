#include "protocol/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int fault_set(struct fault *fault, enum fault_code code, const char *op, int errnum,
              const char *format, ...)
{
    va_list args;

    fault->code = code;
    fault->op = op;
    fault->errnum = errnum;
    va_start(args, format);
    (void)vsnprintf(fault->message, sizeof(fault->message), format, args);
    va_end(args);
    return -1;
}

/* strerrorname_np() needs glibc 2.32, and portable wheels are built with an older one. */
const char *fault_errno_name(int errnum)
{
    static char other[16];
#define NAME(e) \
    {           \
        e, #e   \
    }
    static const struct {
        int errnum;
        const char *name;
    } names[] = {
        NAME(EACCES),    NAME(EAGAIN),   NAME(EBADE),       NAME(EBADF),      NAME(EBUSY),
        NAME(EDEADLK),   NAME(EDOM),     NAME(EDQUOT),      NAME(EEXIST),     NAME(EFAULT),
        NAME(EFBIG),     NAME(EILSEQ),   NAME(EINTR),       NAME(EINVAL),     NAME(EIO),
        NAME(EISDIR),    NAME(ELOOP),    NAME(EMEDIUMTYPE), NAME(EMFILE),     NAME(ENAMETOOLONG),
        NAME(ENFILE),    NAME(ENODATA),  NAME(ENODEV),      NAME(ENOENT),     NAME(ENOLINK),
        NAME(ENOMEDIUM), NAME(ENOMEM),   NAME(ENOSPC),      NAME(ENOSYS),     NAME(ENOTBLK),
        NAME(ENOTDIR),   NAME(ENOTTY),   NAME(ENXIO),       NAME(EOPNOTSUPP), NAME(EOVERFLOW),
        NAME(EPERM),     NAME(EPIPE),    NAME(EPROTO),      NAME(EREMOTEIO),  NAME(EROFS),
        NAME(ESHUTDOWN), NAME(ESTALE),   NAME(ETIME),       NAME(ETIMEDOUT),  NAME(ETXTBSY),
        NAME(EUCLEAN),   NAME(ENOTCONN),
    };
#undef NAME

    if (errnum == 0)
        return "";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].errnum == errnum)
            return names[i].name;
    (void)snprintf(other, sizeof(other), "E%d", errnum);
    return other;
}
