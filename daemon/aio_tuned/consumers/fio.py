"""fio: a job file with a section for reads and one for writes, which repeats what was measured (libaio, O_DIRECT).

block_size is bs (bytes), queue_depth is iodepth (requests a thread), io_parallelism is numjobs with thread=1. Modes:

- single_submit is iodepth_batch_submit: 1, else iodepth, that is all that can be submitted at that moment.
- overlap_events is iodepth_batch_complete_min: 1, else iodepth, so that a queue is done before the next one begins.
  iodepth_batch_complete_max is iodepth: all that is ready is taken at once, as DeepSpeed does.

As in a transfer of ours all threads move one file, each its own contiguous part (size, offset_increment); a gibibyte or
more together. Reads go over it for 10 seconds; writes, which wear the drive, for four times its size. The file is
fio's own in the directory that the user named, and full before it is measured (overwrite=1): nothing else is written
to, and there is no way here to name a device. A last section removes it (unlink=1). A section of several threads must
not: its first thread to end would take the file from one that has not opened it yet, and from the section of writes,
which would then fill a new one while it is measured.

What differs: fio has bs * iodepth bytes of memory a thread, ours is one buffer as large as the transfer, on huge pages.
In a job file "#" and ";" begin a comment and "$" a variable, everywhere and without escape: a directory with one of
those in its name cannot be written there.

Checked with fio 3.33 by running it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_note, capped, need_folder, release_ignored
from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions, Key, Value
    from aio_tuned.reader import DriveSettings, Settings

FILE_NAME = "aio-tuned-fio.tmp"

_READ, _WRITE, _REMOVE = "aio-tuned-read", "aio-tuned-write", "aio-tuned-remove"
_SECTOR_BYTES = 4096  # as long as any drive's logical block
_FILE_BYTES = 1 << 30
_READ_SECONDS = 10
_WRITE_PASSES = 4
_NOT_IN_A_JOB = "#;$\\"


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return a job file for the directory `path`.

    Raise UsageError for a device, for a path that a job file cannot have, or for a cap below 4096 bytes.
    """
    directory = _directory(path)
    read, write = capped(drive.read, options), capped(drive.write, options)
    values: dict[tuple[Key, ...], Value] = {}
    notes: list[str] = []
    if _is_its_own(read):
        job = _options(read, directory) | {"rw": "read", "time_based": 1, "runtime": _READ_SECONDS}
        values |= {(_READ, option): value for option, value in job.items()}
        notes += cap_note(f"bs of {_READ}", drive.read, read)
    else:
        notes.append(f"{_READ}: left out, for reads were not measured.")
    if _is_its_own(write):
        job = _options(write, directory)
        job |= {"rw": "write", "overwrite": 1, "io_size": _part_bytes(write) * _WRITE_PASSES}
        values |= {(_WRITE, option): value for option, value in job.items()}
        notes += cap_note(f"bs of {_WRITE}", drive.write, write)
        written = f"{_written_gib(write):.1f} GiB"
        notes.append(f"{_WRITE}: writes {written}; fio --section={_READ} --section={_REMOVE} leaves that out.")
    else:
        notes.append(f"{_WRITE}: left out, for writes were not measured.")
    if values:
        values |= {(_REMOVE, option): value for option, value in _removal(directory).items()}
    memory = "mem: fio reuses bs x iodepth bytes a thread, which may be faster; mem=mmaphuge is closer to aio-tuned."
    return Export(format="fio", values=values, notes=(*notes, memory, *release_ignored(options, "fio")))


def _is_its_own(settings: Settings) -> bool:
    """Return whether the settings are their own direction's, or defaults, and not the other direction's."""
    return settings.source.section in ("", settings.direction)


def _directory(path: str) -> str:
    """Return the path for a job file, in which a colon separates directories and so must be escaped."""
    need_folder(path, "fio's job")
    if any(character in _NOT_IN_A_JOB or not character.isprintable() for character in path) or path != path.strip():
        raise UsageError(
            f"{path!r} cannot be named in a job file of fio: no name there may have any of {_NOT_IN_A_JOB}"
        )
    return path.replace(":", "\\:")


def _part_bytes(settings: Settings) -> int:
    """Return the bytes that one thread moves, in whole blocks."""
    blocks = _FILE_BYTES // settings.io_parallelism // settings.block_size
    return max(1, blocks) * settings.block_size


def _written_gib(settings: Settings) -> float:
    """Return the GiB that the job writes, the first fill of the file included."""
    return _part_bytes(settings) * settings.io_parallelism * (1 + _WRITE_PASSES) / (1 << 30)


def _file(directory: str) -> dict[str, Value]:
    """Return the options that every section has."""
    return {
        "stonewall": 1,  # one section after the other
        "ioengine": "libaio",
        "direct": 1,
        "thread": 1,
        "directory": directory,
        "filename": FILE_NAME,
    }


def _removal(directory: str) -> dict[str, Value]:
    """Return the section that reads one sector of the file and removes it."""
    sector: dict[str, Value] = {"bs": _SECTOR_BYTES, "size": _SECTOR_BYTES}
    return _file(directory) | {"rw": "read", "unlink": 1} | sector


def _options(settings: Settings, directory: str) -> dict[str, Value]:
    """Return the options that both directions have."""
    part, depth = _part_bytes(settings), settings.queue_depth
    return _file(directory) | {
        "group_reporting": 1,
        "bs": settings.block_size,
        "iodepth": depth,
        "iodepth_batch_submit": 1 if settings.single_submit else depth,
        "iodepth_batch_complete_min": 1 if settings.overlap_events else depth,
        "iodepth_batch_complete_max": depth,
        "numjobs": settings.io_parallelism,
        "filesize": part * settings.io_parallelism,
        "size": part,
        "offset_increment": part,
    }
