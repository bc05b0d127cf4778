"""fio: a job file with a section for reads and one for writes, which repeats the measured I/O (libaio, O_DIRECT).

block_size is bs (bytes), queue_depth is iodepth (requests per thread), io_parallelism is numjobs with thread=1. Modes:

- single_submit is iodepth_batch_submit = 1, else iodepth, so that all free requests are submitted at once.
- overlap_events is iodepth_batch_complete_min = 1, else iodepth, so that a queue is complete before the next begins.
  iodepth_batch_complete_max is iodepth, so that all completions are reaped at once, as DeepSpeed does.

As in aio-tuned's transfers, all threads move one file, each its own contiguous part (size, offset_increment), together
1 GiB or more. Reads repeat for 10 seconds; writes, which wear the drive, stop at four times the file's size. The file
is fio's own, in the directory that the user named, and is filled before it is measured (overwrite=1): nothing else is
written, and a device cannot be named. A last section removes the file (unlink=1). A section of several threads must not
remove it: the first thread to end would remove it before another one opens it, and the section of writes would then
fill a new file while measuring.

fio's own default, one buffered request of 4 KiB, is no consumer's I/O. The job repeats what DeepSpeed does, so the
default that it is compared with is DeepSpeed's.

Unlike aio-tuned, which has one buffer per transfer on huge pages, fio has bs * iodepth bytes of memory per thread. In a
job file "#" and ";" begin a comment and "$" a variable, everywhere and without an escape, so a directory whose name has
one of them cannot be written there.

Checked with fio 3.33 by running it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_note, capped, need_folder, release_ignored, size_ignored
from aio_tuned.errors import UsageError
from aio_tuned.model.setting import DEFAULT_SETTING

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions, Key, Value
    from aio_tuned.model.setting import Setting
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

    Raise UsageError for a device, for a path that a job file cannot hold, or for a cap below 4096 bytes.
    """
    directory = _directory(path)
    read, write = capped(drive.read, options), capped(drive.write, options)
    values: dict[tuple[Key, ...], Value] = {}
    defaults: dict[tuple[Key, ...], Value] = {}
    notes: list[str] = []
    if _is_its_own(read):
        job = _job(directory) | {"rw": "read", "time_based": 1, "runtime": _READ_SECONDS} | _shape(read)
        values |= {(_READ, option): value for option, value in job.items()}
        defaults |= {(_READ, option): value for option, value in _shape(DEFAULT_SETTING).items()}
        notes += cap_note(f"bs of {_READ}", drive.read, read)
    else:
        notes.append(f"{_READ}: left out, because reads were not measured.")
    if _is_its_own(write):
        job = _job(directory) | {"rw": "write", "overwrite": 1} | _writes(write)
        values |= {(_WRITE, option): value for option, value in job.items()}
        defaults |= {(_WRITE, option): value for option, value in _writes(DEFAULT_SETTING).items()}
        notes += cap_note(f"bs of {_WRITE}", drive.write, write)
        written = f"{_written_gib(write):.1f} GiB"
        notes.append(f"{_WRITE}: writes {written}; to skip that, run fio --section={_READ} --section={_REMOVE}.")
    else:
        notes.append(f"{_WRITE}: left out, because writes were not measured.")
    if values:
        values |= {(_REMOVE, option): value for option, value in _removal(directory).items()}
    memory = "mem: fio reuses a smaller buffer, so it may be faster than the sweep; mem=mmaphuge comes closer to it."
    ignored = (*size_ignored(options, "the job repeats the five parameters"), *release_ignored(options, "fio"))
    return Export(format="fio", values=values, defaults=defaults, notes=(*notes, memory, *ignored))


def _is_its_own(settings: Settings) -> bool:
    """Return whether the settings are defaults, or those of their own direction rather than the other one."""
    return settings.source.section in ("", settings.direction)


def _directory(path: str) -> str:
    """Return the path for a job file, in which a colon separates directories and so must be escaped."""
    need_folder(path, "fio's job")
    if any(character in _NOT_IN_A_JOB or not character.isprintable() for character in path) or path != path.strip():
        raise UsageError(
            f"{path!r}: not possible in a fio job file; pass a path without {_NOT_IN_A_JOB}, control characters and"
            " blanks at its ends"
        )
    return path.replace(":", "\\:")


def _part_bytes(setting: Settings | Setting) -> int:
    """Return the bytes that each thread moves, in whole blocks."""
    blocks = _FILE_BYTES // setting.io_parallelism // setting.block_size
    return max(1, blocks) * setting.block_size


def _written_gib(settings: Settings) -> float:
    """Return the GiB that the job writes, including the first fill of the file."""
    return _part_bytes(settings) * settings.io_parallelism * (1 + _WRITE_PASSES) / (1 << 30)


def _file(directory: str) -> dict[str, Value]:
    """Return the options that all sections share."""
    return {
        "stonewall": 1,  # one section after the other
        "ioengine": "libaio",
        "direct": 1,
        "thread": 1,
        "directory": directory,
        "filename": FILE_NAME,
    }


def _job(directory: str) -> dict[str, Value]:
    """Return the options of a section of several threads."""
    return _file(directory) | {"group_reporting": 1}


def _removal(directory: str) -> dict[str, Value]:
    """Return the section that reads one sector of the file and then removes the file."""
    sector: dict[str, Value] = {"bs": _SECTOR_BYTES, "size": _SECTOR_BYTES}
    return _file(directory) | {"rw": "read", "unlink": 1} | sector


def _writes(setting: Settings | Setting) -> dict[str, Value]:
    """Return the options of writes that follow from the setting."""
    return _shape(setting) | {"io_size": _part_bytes(setting) * _WRITE_PASSES}


def _shape(setting: Settings | Setting) -> dict[str, Value]:
    """Return the options that follow from the setting in both directions."""
    part = _part_bytes(setting)
    return requests(setting) | {
        "filesize": part * setting.io_parallelism,
        "size": part,
        "offset_increment": part,
    }


def requests(setting: Settings | Setting) -> dict[str, Value]:
    """Return the options of the requests and threads of the setting."""
    depth = setting.queue_depth
    return {
        "bs": setting.block_size,
        "iodepth": depth,
        "iodepth_batch_submit": 1 if setting.single_submit else depth,
        "iodepth_batch_complete_min": 1 if setting.overlap_events else depth,
        "iodepth_batch_complete_max": depth,
        "numjobs": setting.io_parallelism,
    }
