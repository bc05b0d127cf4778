"""The process that holds a lock on a file, for the message of a sweep that cannot have it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
# "7: FLOCK  ADVISORY  WRITE 1234 00:06:345 0 EOF"; a process that waits for a lock has "->" behind the number.
_FIELDS = 6
_KIND, _PID, _FILE = 1, 4, 5


def _locked_by(line: str, file: str) -> int:
    """Return the process of a line of /proc/locks if it is a lock on the file, else 0."""
    words = line.split()
    if len(words) < _FIELDS or words[_KIND] != "FLOCK" or words[_FILE] != file or not words[_PID].isdecimal():
        return 0
    return int(words[_PID])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _owners(file: str, proc: Path) -> Iterator[int]:
    """Yield the processes that have taken a lock on the file, as the kernel lists them."""
    yield from (pid for line in _read(proc / "locks").splitlines() if (pid := _locked_by(line, file)))


def _heirs(file: str, proc: Path) -> Iterator[int]:
    """Yield the processes that hold a lock on the file through a descriptor, which they may have inherited."""
    for folder in proc.glob("[0-9]*"):
        try:
            infos = list((folder / "fdinfo").iterdir())
        except OSError:  # it has ended, or belongs to another user
            continue
        for info in infos:
            lines = (line.removeprefix("lock:") for line in _read(info).splitlines() if line.startswith("lock:"))
            if any(_locked_by(line, file) for line in lines):
                yield int(folder.name)


def _name(pid: int, proc: Path) -> str:
    """Return the name of the process; "" if it has ended or is hidden."""
    words = _read(proc / str(pid) / "cmdline").split("\0")
    if any(Path(word).name == "aio-tuned" or word.startswith("aio_tuned") for word in words[:4]):
        return "aio-tuned"
    return _read(proc / str(pid) / "comm").strip()


def find_holder(descriptor: int, proc: Path = _PROC) -> str:
    """Return the process that holds a lock on the open file, as "parted (process 1234)"; "" if it cannot be found."""
    status = os.fstat(descriptor)
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for found in (_owners, _heirs):
        for pid in found(file, proc):
            if name := _name(pid, proc):
                return f"{name} (process {pid})"
    return ""
