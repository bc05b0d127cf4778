"""Run a command as on an older kernel: a seccomp filter answers its newer system calls with their error there.

    python tests/old_kernel.py since=451 madvise:2=23:EINVAL -- COMMAND...

A rule is `since=N`, which answers all calls from that number on with ENOSYS, or NAME[:ARGUMENT=VALUE]:ERROR, which
answers one call, or only those with the value in an argument (counted from 0, 32 bits).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from pathlib import Path

# Numbers from 424 on are common to all architectures, and in the order of the releases.
_BY_MACHINE = {
    "x86_64": {
        "madvise": 28,
        "mincore": 27,
        "ioctl": 16,
        "openat": 257,
        "fallocate": 285,
        "statx": 332,
        "io_setup": 206,
    },
    "aarch64": {
        "madvise": 233,
        "mincore": 232,
        "ioctl": 29,
        "openat": 56,
        "fallocate": 47,
        "statx": 291,
        "io_setup": 0,
    },
}
NUMBERS = {
    **_BY_MACHINE.get(platform.machine(), {}),
    "pidfd_send_signal": 424,  # Linux 5.1
    "io_uring_setup": 425,
    "faccessat2": 439,  # Linux 5.8
    "cachestat": 451,  # Linux 6.5
}

BEFORE_6_5 = f"since={NUMBERS['cachestat']}"
BEFORE_5_1 = f"since={NUMBERS['pidfd_send_signal']}"
# statx(2) is of Linux 4.11, its answer on direct I/O of 6.1: glibc then asks as before 4.11.
BEFORE_6_1 = "statx:3=0x2000:ENOSYS"
NO_STATX = "statx:ENOSYS"
NO_POPULATE = "madvise:2=23:EINVAL"  # before Linux 5.14
NO_DISKSEQ = "ioctl:1=0x80081280:ENOTTY"  # before Linux 5.15
NO_FALLOCATE = "fallocate:EOPNOTSUPP"
NO_TMPFILE = f"openat:2={os.O_TMPFILE | os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC:#x}:EOPNOTSUPP"
NONE_OF_THEM = (BEFORE_5_1, NO_STATX, NO_POPULATE, NO_DISKSEQ, NO_FALLOCATE)

# linux/filter.h, linux/seccomp.h and linux/prctl.h
_LOAD, _IF_EQUAL, _IF_NOT_BELOW, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_ARGUMENTS_AT, _ARGUMENT_BYTES = 16, 8
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def under(*rules: str) -> tuple[str, ...]:
    """Return the words that run the command after them as on a kernel with these rules."""
    return (sys.executable, str(Path(__file__).resolve()), *rules, "--")


def _instruction(code: int, value: int, unless: int = 0) -> bytes:
    """Return an instruction that skips the next `unless` ones if its condition does not hold."""
    return struct.pack("=HBBI", code, 0, unless, value)


def _rule(text: str) -> bytes:
    if text.startswith("since="):
        denied = _instruction(_RETURN, _ERROR | errno.ENOSYS)
        return _instruction(_LOAD, 0) + _instruction(_IF_NOT_BELOW, int(text[6:]), 1) + denied
    name, *condition, error = text.split(":")
    denied = _instruction(_RETURN, _ERROR | getattr(errno, error))
    tested = b""
    for each in condition:
        argument, _, value = each.partition("=")
        tested += _instruction(_LOAD, _ARGUMENTS_AT + _ARGUMENT_BYTES * int(argument))
        tested += _instruction(_IF_EQUAL, int(value, 0), 1)
    skipped = (len(tested) + len(denied)) // len(denied)
    return _instruction(_LOAD, 0) + _instruction(_IF_EQUAL, NUMBERS[name], skipped) + tested + denied


def main(words: list[str]) -> None:
    """Install the filter, and become the command."""
    rules, command = words[: words.index("--")], words[words.index("--") + 1 :]
    filters = b"".join(map(_rule, rules)) + _instruction(_RETURN, _ALLOW)
    program = _Program(len(filters) // len(_instruction(_RETURN, _ALLOW)), filters)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0):
        sys.exit(f"old_kernel: no seccomp filter: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    main(sys.argv[1:])
