"""Append-only files of checksummed JSON lines.

A line is the CRC-32 of its JSON as eight hex digits, a space, the JSON, and a newline. A line that is torn by a crash
or a power cut has no newline or a wrong checksum; that line and all lines after it are discarded.
"""

from __future__ import annotations

import glob
import json
import os
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_PREFIX = len("01234567 ")
_MODE = 0o600


class AppendLog:
    """An open append-only log; only one process at a time may have the file open."""

    def __init__(self, descriptor: int, end: int) -> None:
        self._descriptor = descriptor
        self._end = end

    @classmethod
    def open(cls, path: Path) -> tuple[list[dict[str, Any]], AppendLog]:
        """Open the file, and return its entries and the log to append to.

        Create a missing file, and cut off everything after the last valid line. Raise OSError if the file cannot be
        read, written or created.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            entries, end = _read(descriptor)
            os.fchmod(descriptor, _MODE)
            os.ftruncate(descriptor, end)
            if not end:
                atomic_file.sync_folder(path.parent)  # a new file's name must be durable before its entries are
        except BaseException:
            os.close(descriptor)
            raise
        return entries, cls(descriptor, end)

    def append(self, entry: Mapping[str, object], *, sync: bool = False) -> None:
        """Append the entry; with `sync` it is durable on return.

        Raise OSError, usually for lack of space, and leave the log unchanged.
        """
        line = _line(entry)
        try:
            _write(self._descriptor, line, self._end)
            if sync:
                os.fdatasync(self._descriptor)
        except OSError:
            # A torn line would make the next entry unreadable. If this fails too, the next entry overwrites the line.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def rewrite(path: Path, entries: Iterable[Mapping[str, object]]) -> None:
    """Replace the log's entries with these; the log must not be open.

    A crash leaves the old file or the new one. Raise OSError and keep the old file if the new one cannot be written.
    """
    # No other process writes the log, so any temporary file was left by a crash.
    atomic_file.remove_leftovers(path.parent, time.time(), glob.escape(path.name), age_s=0)
    atomic_file.write(path, b"".join(map(_line, entries)), mode=_MODE)


def _line(entry: Mapping[str, object]) -> bytes:
    text = json.dumps(dict(entry), separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return the entry in a line, or None if the line is incomplete, altered, or not an entry."""
    text = line[_PREFIX:-1]
    if line != b"%08x %s\n" % (zlib.crc32(text), text):
        return None
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _read(descriptor: int) -> tuple[list[dict[str, Any]], int]:
    """Return the entries before the first bad line, and the offset of that line in bytes."""
    entries = []
    end = 0
    with open(descriptor, "rb", closefd=False) as file:
        for line in file:
            entry = _entry(line)
            if entry is None:
                break
            entries.append(entry)
            end += len(line)
    return entries, end


def _write(descriptor: int, data: bytes, offset: int) -> None:
    """Write all the data at the offset; raise OSError.

    A write may be short; the next one then raises the error.
    """
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
