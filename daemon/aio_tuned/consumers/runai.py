"""Run:ai Model Streamer, which reads safetensors files into memory: environment variables. It only reads.

Since release 0.17 it has asynchronous readers (io_uring, else libaio, both with O_DIRECT) and, if neither works,
threads that read through the page cache:

    RUNAI_STREAMER_FS_QUEUE_DEPTH     reads in flight, or the threads            3 ... 1024 (512, 16 threads)
    RUNAI_STREAMER_FS_CHUNK_BYTESIZE  bytes of one asynchronous read             8388608 by default

The queue depth is for the whole node: the streamer divides it among its processes there. One thread submits, so the
depth is the `saturating_concurrency` of the read settings. Depths for types of filesystems may follow ("32,nfs=64");
only the first one, for all other types, is set. RUNAI_STREAMER_CONCURRENCY then has no effect on files, and
RUNAI_STREAMER_CHUNK_BYTESIZE only on the threads. The latter is not set, because it also sizes reads from object
storage.

Earlier releases have only threads that read through the page cache:

    RUNAI_STREAMER_CONCURRENCY        threads                                    16
    RUNAI_STREAMER_CHUNK_BYTESIZE     bytes of one read                          2097152, also the minimum

Both also apply to object storage. No release has overlap_events or single_submit.

Checked with releases 0.17.0 and 0.16.1 by loading files and by their logs of depth, chunk and limits.
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
    "RUNAI_STREAMER_FS_QUEUE_DEPTH: for release 0.17 and later; for an earlier release pass --for-version.",
    "overlap_events, single_submit: not in the streamer.",
)
_THREADS_NOTES = (
    "RUNAI_STREAMER_CONCURRENCY: the number of requests in flight, because each thread has one.",
    "RUNAI_STREAMER_CONCURRENCY, RUNAI_STREAMER_CHUNK_BYTESIZE: apply to object storage too.",
    (
        "queue_depth, overlap_events, single_submit: not in this release, which reads through the page cache; the "
        "settings were measured with O_DIRECT."
    ),
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the streamer's variables for the drive.

    Raise UsageError if the release is not supported, or if its smallest read exceeds the cap.
    """
    del path
    need_release(options, _NAME, "0.15", "supported variables")
    return _threads(drive.read, options) if is_older(options, _NAME, "0.17") else _asynchronous(drive.read, options)


def _asynchronous(best: Settings, options: ExportOptions) -> Export:
    """Return the variables of releases with asynchronous readers."""
    settings = capped(best, options)
    key = "RUNAI_STREAMER_FS_CHUNK_BYTESIZE"
    wanted = settings.saturating_concurrency
    depth = max(_MIN_IN_FLIGHT, min(wanted, _MAX_IN_FLIGHT))
    notes = cap_note(key, best, settings)
    if depth != wanted:
        limits = f"the streamer takes {_MIN_IN_FLIGHT} to {_MAX_IN_FLIGHT}"
        notes += (f"RUNAI_STREAMER_FS_QUEUE_DEPTH: {depth} instead of {wanted}; {limits}.",)
    return Export(
        format="env",
        values={("RUNAI_STREAMER_FS_QUEUE_DEPTH",): depth, (key,): settings.block_size},
        notes=(*notes, *_ASYNCHRONOUS_NOTES),
    )


def _threads(best: Settings, options: ExportOptions) -> Export:
    """Return the variables of releases that have only threads, with one request in flight each."""
    cap = options.max_block_size
    if cap is not None and cap < _MIN_THREAD_CHUNK:
        least = f"below the smallest read of {_NAME} {options.for_version}"
        raise UsageError(f"--max-block-size {cap}: {least}; pass {_MIN_THREAD_CHUNK} or more")
    settings = capped(best, options)
    key = "RUNAI_STREAMER_CHUNK_BYTESIZE"
    notes = cap_note(key, best, settings)
    if settings.block_size < _MIN_THREAD_CHUNK:
        notes = (f"{key}: {_MIN_THREAD_CHUNK} bytes instead of {best.block_size}; the minimum of this release.",)
    return Export(
        format="env",
        values={
            ("RUNAI_STREAMER_CONCURRENCY",): min(settings.saturating_concurrency, _MAX_IN_FLIGHT),
            (key,): max(settings.block_size, _MIN_THREAD_CHUNK),
        },
        notes=(*notes, *_THREADS_NOTES),
    )
