"""The part that all drivers share: JSON lines on standard input and output, the folder, and the page cache.

It runs in the consumer's interpreter, as the owner of the folder's parent or another user without privileges, so
everything in that folder is done here rather than by aio-tuned itself.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.metadata
import json
import mmap
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PREFIX = ".aio-tuned-verify-"
DATA = "data"
_MIB = 1 << 20


class Consumer:
    """A consumer's I/O with one setting, in files below `folder`.

    `durable` has writes end only when the data is on the drive.
    """

    module = ""
    durable = False
    folder = Path()

    def release(self) -> dict[str, str]:
        """Return the release and a file that its update replaces; raise ImportError if the package is missing."""
        # From Python 3.10 on it is known which distribution has the module: KvikIO's is called kvikio-cu12.
        known: dict[str, list[str]] = getattr(importlib.metadata, "packages_distributions", dict)()
        found = importlib.metadata.distribution(known.get(self.module, [self.module])[0])
        # Only private attributes have the path of the distribution's folder.
        return {"version": found.version, "file": str(Path(getattr(found, "_path", "")).absolute() / "METADATA")}

    def configure(self, folder: Path, size: int, values: dict[str, Any]) -> dict[str, Any]:
        """Prepare to move `size` bytes with these values in the folder, and set `folder`; return facts about it."""
        raise NotImplementedError

    def run(self, direction: str) -> tuple[int, float]:
        """Move the bytes; return their number, and the seconds that it took."""
        raise NotImplementedError


def _remove_leftovers(path: Path) -> None:
    """Remove the folders of runs that were killed: nobody holds their locks."""
    for left in path.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)


def _drop(file: Path) -> None:
    """Drop the file from the page cache."""
    with file.open("rb") as opened:
        os.fdatasync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _resident(file: Path) -> tuple[int, int]:
    """Return the number of the file's pages in the page cache, and of all its pages."""
    size = file.stat().st_size
    if not size:
        return 0, 0
    pages = -(-size // mmap.PAGESIZE)
    vector = (ctypes.c_ubyte * pages)()
    libc = ctypes.CDLL(None, use_errno=True)
    with file.open("rb") as opened:
        # A private mapping that may be written, because ctypes needs a writable buffer; nothing is written.
        mapped = mmap.mmap(opened.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    try:
        start = ctypes.c_char.from_buffer(mapped)
        address = ctypes.c_void_p(ctypes.addressof(start))
        if libc.mincore(address, ctypes.c_size_t(size), vector):
            raise OSError(ctypes.get_errno(), "mincore")
        del start
    finally:
        mapped.close()
    return sum(page & 1 for page in vector), pages


class _Session:
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._made = ""
        self._lock = -1

    def hello(self) -> dict[str, Any]:
        try:
            return dict(self._consumer.release())
        except ImportError:
            return {"missing": self._consumer.module}

    def clean(self, path: str) -> dict[str, Any]:
        _remove_leftovers(Path(path))
        return {}

    def make(self, path: str) -> dict[str, Any]:
        self._made = tempfile.mkdtemp(prefix=PREFIX, dir=path)
        self._lock = os.open(self._made, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return {"folder": self._made}

    def fill(self, folder: str, size: int) -> dict[str, Any]:
        with (Path(folder) / DATA).open("wb") as file:
            for at in range(0, size, _MIB):
                file.write(os.urandom(min(_MIB, size - at)))
            file.flush()
            os.fsync(file.fileno())
        return {}

    def configure(self, folder: str, size: int, values: dict[str, Any]) -> dict[str, Any]:
        return self._consumer.configure(Path(folder), size, values)

    def run(self, direction: str, look: bool = False) -> dict[str, Any]:
        """Move the bytes once; with `look`, also return the share of the files that is in the page cache then."""
        for file in self._files():
            _drop(file)
        moved, seconds = self._consumer.run(direction)
        if direction == "write" and self._consumer.durable:
            begun = time.perf_counter()
            for file in self._files():
                with file.open("rb") as opened:
                    os.fdatasync(opened.fileno())
            seconds += time.perf_counter() - begun
        answer: dict[str, Any] = {"bytes": moved, "seconds": seconds}
        if look:
            counts = [_resident(file) for file in self._files()]
            answer["resident"] = sum(count for count, _ in counts) / max(1, sum(pages for _, pages in counts))
        return answer

    def remove(self) -> dict[str, Any]:
        made, self._made = self._made, ""
        if made:
            shutil.rmtree(made)
        return {}

    def _files(self) -> list[Path]:
        return [path for path in self._consumer.folder.rglob("*") if path.is_file()]


def reserved_requests() -> int:
    """Return the requests that all kernel queues of libaio on this host hold at most."""
    return int(Path("/proc/sys/fs/aio-nr").read_text(encoding="ascii"))


def serve(consumer: Consumer) -> None:
    """Answer requests until standard input ends; all other output of the process goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    session = _Session(consumer)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(session, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001 - whatever the consumer raises is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)
    # The process that asked may have been killed.
    session.remove()
