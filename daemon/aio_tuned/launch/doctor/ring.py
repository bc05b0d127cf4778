"""io_uring: whether this process may use it, by trying."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.launch.doctor import capability
from aio_tuned.launch.doctor.finding import HOST, Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHECK = "io_uring"
_SYS_IO_URING_SETUP = 425  # on all architectures but alpha
_PARAMS_BYTES = 120  # struct io_uring_params
_FOR_A_GROUP = 1
_FOR_NOBODY = 2
_OTHER = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """The outcome of io_uring_setup(2): 0 or its errno; `killed` if a filter has ended the process for the call.

    `disabled` is kernel.io_uring_disabled (Linux 6.6), `group` the one of kernel.io_uring_group, both None if unknown.
    `privileged` is whether the sysctl does not bind this process, `filtered` whether it has a seccomp filter.
    """

    error: int
    killed: bool = False
    disabled: int | None = None
    group: int | None = None
    privileged: bool = False
    filtered: bool = False


def read(proc: Path) -> Ring:
    """Try io_uring in a child process, and return the outcome with what /proc tells about it."""
    error, killed = _try()
    seccomp = re.search(r"^Seccomp:\s*(\d)$", sysfs.attribute(proc / "self", "status"), re.MULTILINE)
    disabled, group = (sysfs.attribute(proc / "sys/kernel", name) for name in ("io_uring_disabled", "io_uring_group"))
    return Ring(
        error=error,
        killed=killed,
        disabled=int(disabled) if disabled.isdecimal() else None,
        group=int(group) if group.isdecimal() else None,
        privileged=capability.has(capability.SYS_ADMIN, proc),
        filtered=bool(seccomp and int(seccomp[1])),
    )


def _try() -> tuple[int, bool]:
    """Return the errno of io_uring_setup(2), or 0, and whether the call was fatal, as with some seccomp filters."""
    child = os.fork()
    if child == 0:
        code = _OTHER
        try:
            signal.signal(signal.SIGSYS, signal.SIG_DFL)
            code = _call()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return errno.EPERM, True
    return os.WEXITSTATUS(status), False


def _call() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.syscall(
        ctypes.c_long(_SYS_IO_URING_SETUP), ctypes.c_uint(1), ctypes.create_string_buffer(_PARAMS_BYTES)
    )
    return 0 if made >= 0 else ctypes.get_errno()


def check(facts: Ring, consumers: Sequence[str]) -> Iterator[Outcome]:
    """Report that io_uring is refused to these consumers, with the one who refuses it."""
    if not consumers:
        return
    names = ", ".join(consumers)
    reason = _refused(facts)
    if reason is not None:
        problem, remedy = reason
        yield Finding(check=CHECK, subject=HOST, problem=f"{problem}; {names} cannot use it", remedy=remedy)
    elif facts.error:
        unknown = os.strerror(facts.error) if facts.error != _OTHER else "unknown error"
        yield Unchecked(check=CHECK, subject=HOST, reason=f"io_uring_setup: {unknown}")


def _refused(facts: Ring) -> tuple[str, str] | None:
    """Return what refuses io_uring, and the remedy; None if nothing is known to."""
    allow = "sysctl kernel.io_uring_disabled=0"
    if facts.disabled == _FOR_NOBODY:
        return "io_uring is forbidden: kernel.io_uring_disabled is 2", allow
    if facts.disabled == _FOR_A_GROUP and (facts.error or facts.privileged):
        group = f"group {facts.group}" if facts.group is not None else "no group (kernel.io_uring_group is not set)"
        return (
            f"io_uring is for root and {group} only: kernel.io_uring_disabled is 1",
            f"{allow}, or kernel.io_uring_group=GID with a group of the consumer's user",
        )
    if facts.error == errno.ENOMEM:
        return (
            "io_uring_setup: not enough memory to lock",
            "set LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited",
        )
    if facts.error not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        return None
    if facts.killed or facts.filtered:
        return (
            "io_uring is forbidden by a seccomp filter",
            "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile or SystemCallFilter=",
        )
    if facts.error == errno.ENOSYS:
        return "the kernel has no io_uring", "use a kernel with CONFIG_IO_URING"
    return "io_uring is refused to this process", "see the rules of the security module (SELinux, AppArmor)"
