"""Append-only files of checksummed JSON lines.

A line is the CRC-32 of its JSON as eight hex digits, a blank, the JSON, and a newline. What a crash or a power cut left
of a line has no newline or a wrong checksum; nothing from there on is trusted.
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
    """An append-only log; one process at a time may have it open."""

    def __init__(self, descriptor: int, end: int) -> None:
        self._descriptor = descriptor
        self._end = end

    @classmethod
    def open(cls, path: Path) -> tuple[list[dict[str, Any]], AppendLog]:
        """The entries of the file, which is made if it is missing, and the log to append to.

        The file is cut behind the last good line. OSError if it cannot be read, written or made.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            entries, end = _read(descriptor)
            os.fchmod(descriptor, _MODE)
            os.ftruncate(descriptor, end)
            if not end:
                atomic_file.sync_folder(path.parent)  # it may be new: an entry made durable needs a name that is
        except BaseException:
            os.close(descriptor)
            raise
        return entries, cls(descriptor, end)

    def append(self, entry: Mapping[str, object], *, sync: bool = False) -> None:
        """Add the entry, on return for good if `sync`. OSError (no space, mostly) leaves the log as it was."""
        line = _line(entry)
        try:
            _write(self._descriptor, line, self._end)
            if sync:
                os.fdatasync(self._descriptor)
        except OSError:
            # Else the next entry would stand behind a torn line. Should this fail too, it is written over that line.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(line)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def rewrite(path: Path, entries: Iterable[Mapping[str, object]]) -> None:
    """Write the log again with these entries; a crash leaves the old one or the new one. It must not be open.

    OSError leaves the old one.
    """
    # No other process writes it: what is there was left by a crash.
    atomic_file.remove_leftovers(path.parent, time.time(), glob.escape(path.name), age_s=0)
    atomic_file.write(path, b"".join(map(_line, entries)), mode=_MODE)


def _line(entry: Mapping[str, object]) -> bytes:
    text = json.dumps(dict(entry), separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry of a line, or None if it is not one of ours, whole and unchanged."""
    text = line[_PREFIX:-1]
    if line != b"%08x %s\n" % (zlib.crc32(text), text):
        return None
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _read(descriptor: int) -> tuple[list[dict[str, Any]], int]:
    """The entries up to the first bad line, and where that begins."""
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
    """All of it; a write may end early, and the next one says why."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
