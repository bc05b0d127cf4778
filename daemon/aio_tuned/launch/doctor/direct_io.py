"""Direct I/O in a folder or on a file, by trying: with O_DIRECT, by statx(2), and by the page cache afterwards."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import stat
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.consumers.export import ALIGNMENT
from aio_tuned.launch.doctor.finding import Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECK = "direct-io"
_TRY_BYTES = 1 << 16
_PAGE = mmap.PAGESIZE
# linux/stat.h, from Linux 6.1 on.
_AT_EMPTY_PATH = 0x1000
_STATX_DIOALIGN = 0x2000
_STATX_BYTES = 256
_DIO_ALIGN_AT = 152  # stx_dio_mem_align and stx_dio_offset_align


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectIo:
    """What a file on the filesystem does with O_DIRECT.

    `refused` is whether the kernel does not take the flag. `alignment` is the kernel's own word on the alignment of
    offsets, 0 if the file has no direct I/O, None if the kernel does not tell. `cached_bytes` of what was written with
    O_DIRECT are in the page cache, None if nothing could be written. `untried` is the reason why nothing was opened.
    """

    path: str
    filesystem: str
    refused: bool = False
    alignment: int | None = None
    cached_bytes: int | None = None
    untried: str = ""


def read(path: Path, filesystem: str) -> DirectIo:
    """Try direct I/O: in a folder on an unlinked file of 64 KiB, on a file by opening it."""
    try:
        if not path.is_dir():
            return _on_file(path, filesystem)
        descriptor = _unlinked_file(path)
    except OSError as error:
        return DirectIo(path=str(path), filesystem=filesystem, untried=error.strerror or str(error))
    try:
        return _tried(path, filesystem, descriptor)
    finally:
        os.close(descriptor)


def _on_file(path: Path, filesystem: str) -> DirectIo:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return DirectIo(path=str(path), filesystem=filesystem, refused=True)
    try:
        return DirectIo(path=str(path), filesystem=filesystem, alignment=_alignment(descriptor))
    finally:
        os.close(descriptor)


def _unlinked_file(folder: Path) -> int:
    """Open a new file without a name, as O_TMPFILE or, where the filesystem has none, by removing its name."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
    descriptor, name = tempfile.mkstemp(prefix=".aio-tuned-doctor-", dir=folder)
    Path(name).unlink()
    return descriptor


def _tried(folder: Path, filesystem: str, descriptor: int) -> DirectIo:
    try:
        # The kernel checks the flag here as it does in open(2).
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return DirectIo(path=str(folder), filesystem=filesystem, refused=True)
    return DirectIo(
        path=str(folder),
        filesystem=filesystem,
        alignment=_alignment(descriptor),
        cached_bytes=_cached_bytes(descriptor),
    )


def _alignment(descriptor: int) -> int | None:
    """Return the alignment of offsets that statx(2) gives for direct I/O, 0 without direct I/O, None if unknown."""
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    try:
        statx = ctypes.CDLL(None).statx  # glibc 2.28
    except AttributeError:
        return None
    if statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_DIOALIGN, answer):
        return None
    (mask,) = struct.unpack_from("=I", answer)
    memory, offset = struct.unpack_from("=II", answer, _DIO_ALIGN_AT)
    return (offset if memory else 0) if mask & _STATX_DIOALIGN else None


def _cached_bytes(descriptor: int) -> int | None:
    """Write with O_DIRECT, and return how much of it is in the page cache; None if it cannot be written or seen."""
    try:
        with mmap.mmap(-1, _TRY_BYTES) as source:
            source.write(os.urandom(_TRY_BYTES))
            if os.pwrite(descriptor, source, 0) != _TRY_BYTES:
                return None
        with mmap.mmap(descriptor, _TRY_BYTES) as mapped:
            pages = ctypes.create_string_buffer(_TRY_BYTES // _PAGE)
            first = ctypes.c_char.from_buffer(mapped)
            failed = ctypes.CDLL(None).mincore(ctypes.byref(first), ctypes.c_size_t(_TRY_BYTES), pages)
            del first
            return None if failed else _PAGE * sum(page & 1 for page in pages.raw)
    except (OSError, ValueError):  # a full disk; a filesystem without mmap
        return None


def check(facts: DirectIo) -> Iterator[Outcome]:
    """Report a filesystem that has no direct I/O, or takes the flag and goes through the page cache anyway."""
    if facts.untried:
        reason = (
            f"no file can be opened there: {facts.untried}; pass a file that you may read, or run this as its owner"
        )
        yield Unchecked(check=CHECK, subject=facts.path, reason=reason)
        return
    problem = ""
    if facts.refused:
        problem = f"{facts.filesystem} has no O_DIRECT here, so direct I/O fails"
    elif facts.alignment == 0 or facts.cached_bytes:
        problem = f"{facts.filesystem} takes O_DIRECT, but goes through the page cache"
    elif facts.alignment is not None and facts.alignment > ALIGNMENT:
        aligned = f"direct I/O needs multiples of {formatting.amount(facts.alignment)}"
        problem = f"{aligned}, but consumers align to {formatting.amount(ALIGNMENT)}"
    if problem:
        remedy = "use a folder on ext4 or XFS without data=journal, encryption and compression"
        yield Finding(check=CHECK, subject=facts.path, problem=problem, remedy=remedy)
