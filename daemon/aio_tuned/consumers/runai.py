"""Run:ai Model Streamer, which reads safetensors files into memory: environment variables. It only reads.

Since release 0.17 it has asynchronous readers (io_uring, else libaio, both with O_DIRECT), and where neither works
threads that read through the page cache:

    RUNAI_STREAMER_FS_QUEUE_DEPTH     reads in flight, or the threads            3 ... 1024 (512, 16 threads)
    RUNAI_STREAMER_FS_CHUNK_BYTESIZE  bytes of one asynchronous read             8388608 by default

The queue depth is for the whole node: the streamer divides it among its processes there. One thread submits, so it is
how many requests the drive takes in flight over all threads (`saturating_concurrency` of the read settings). It may
be followed by depths for types of file systems ("32,nfs=64"); only the first, for all others, is set here.
RUNAI_STREAMER_CONCURRENCY is then without effect on files, RUNAI_STREAMER_CHUNK_BYTESIZE is for the threads alone.
The latter is left alone, since it also sizes reads from object storage.

Before, there are only threads that read through the page cache:

    RUNAI_STREAMER_CONCURRENCY        threads                                    16
    RUNAI_STREAMER_CHUNK_BYTESIZE     bytes of one read                          2097152, also the least

Both of these are for object storage as well. overlap_events and single_submit do not exist in any release.

Checked with releases 0.17.0 and 0.16.1 by what they load and what their log says of depth, chunk and limits.
Documentation: env-vars.md, which lacks RUNAI_STREAMER_FS_CHUNK_BYTESIZE (config.cc has it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_note, capped, is_older, need_release
from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings, Settings

_NAME = "runai-model-streamer"
_MIN_IN_FLIGHT, _MAX_IN_FLIGHT = 3, 1024
_MIN_THREAD_CHUNK = 2 << 20
_ASYNCHRONOUS_NOTES = (
    "RUNAI_STREAMER_FS_QUEUE_DEPTH: for the whole machine; the streamer divides it among its processes.",
    "RUNAI_STREAMER_FS_QUEUE_DEPTH: for release 0.17 and later; before, other variables hold, so name your release.",
    "overlap_events and single_submit do not exist in the streamer.",
)
_THREADS_NOTES = (
    "RUNAI_STREAMER_CONCURRENCY: requests in flight over all threads, for every thread waits for its request.",
    "RUNAI_STREAMER_CONCURRENCY, RUNAI_STREAMER_CHUNK_BYTESIZE: also hold for object storage.",
    (
        "queue_depth, overlap_events and single_submit do not exist in this release; it reads through the page cache, "
        "which the settings were measured without."
    ),
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the streamer's variables for the drive.

    Raise UsageError if the release is not supported, or reads more than the cap at a time.
    """
    del path
    need_release(options, _NAME, "0.15", "settings that are known here")
    return _threads(drive.read, options) if is_older(options, _NAME, "0.17") else _asynchronous(drive.read, options)


def _asynchronous(best: Settings, options: ExportOptions) -> Export:
    """Return the variables of releases with asynchronous readers."""
    settings = capped(best, options)
    key = "RUNAI_STREAMER_FS_CHUNK_BYTESIZE"
    wanted = settings.saturating_concurrency
    depth = max(_MIN_IN_FLIGHT, min(wanted, _MAX_IN_FLIGHT))
    notes = cap_note(key, best, settings)
    if depth != wanted:
        limits = f"{_MIN_IN_FLIGHT} to {_MAX_IN_FLIGHT} is what it takes"
        notes += (f"RUNAI_STREAMER_FS_QUEUE_DEPTH: {depth}, where {wanted} would be best: {limits}.",)
    return Export(
        format="env",
        values={("RUNAI_STREAMER_FS_QUEUE_DEPTH",): depth, (key,): settings.block_size},
        notes=(*notes, *_ASYNCHRONOUS_NOTES),
    )


def _threads(best: Settings, options: ExportOptions) -> Export:
    """Return the variables of releases that have only threads, each of which waits for its request."""
    cap = options.max_block_size
    if cap is not None and cap < _MIN_THREAD_CHUNK:
        reads = f"{_NAME} {options.for_version} reads at least {_MIN_THREAD_CHUNK} bytes at a time"
        raise UsageError(f"{reads}: raise --max-block-size to that")
    settings = capped(best, options)
    key = "RUNAI_STREAMER_CHUNK_BYTESIZE"
    notes = cap_note(key, best, settings)
    if settings.block_size < _MIN_THREAD_CHUNK:
        notes = (f"{key}: {_MIN_THREAD_CHUNK} bytes, this release's least; {best.block_size} would be best.",)
    return Export(
        format="env",
        values={
            ("RUNAI_STREAMER_CONCURRENCY",): min(settings.saturating_concurrency, _MAX_IN_FLIGHT),
            (key,): max(settings.block_size, _MIN_THREAD_CHUNK),
        },
        notes=(*notes, *_THREADS_NOTES),
    )
