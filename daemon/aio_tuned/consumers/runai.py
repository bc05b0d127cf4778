"""Run:ai Model Streamer, which reads safetensors files into memory: environment variables. It only reads.

Since release 0.17 it has asynchronous readers (io_uring, else libaio, both with O_DIRECT) and, if neither works,
threads that read through the page cache:

    RUNAI_STREAMER_FS_QUEUE_DEPTH     reads in flight, or the threads            3 ... 1024 (512, 16 threads)
    RUNAI_STREAMER_FS_CHUNK_BYTESIZE  bytes of one asynchronous read             8388608 by default

The queue depth is for the whole node: the streamer divides it among its processes there. One thread submits, so the
depth is that of io_uring in the curve of reads, at the size of a chunk: 8 MiB (the streamer's default), a measured size
near it that gives more throughput, or --request-size. Depths for types of filesystems may follow ("32,nfs=64");
only the first one, for all other types, is set. RUNAI_STREAMER_CONCURRENCY then has no effect on files, and
RUNAI_STREAMER_CHUNK_BYTESIZE only on the threads. The latter is not set, because it also sizes reads from object
storage.

Earlier releases have only threads that read through the page cache:

    RUNAI_STREAMER_CONCURRENCY        threads                                    16
    RUNAI_STREAMER_CHUNK_BYTESIZE     bytes of one read                          2097152, also the minimum

Their numbers are those of psync. Both also apply to object storage.

Without a curve of the engine, depth or threads are the `saturating_concurrency` of the read settings, and the size is
their block_size. No release has overlap_events or single_submit.

Checked with releases 0.17.0 and 0.16.1 by loading files and by their logs of depth, chunk and limits.
Documentation: env-vars.md, which lacks RUNAI_STREAMER_FS_CHUNK_BYTESIZE (config.cc has it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, is_older, need_release
from aio_tuned.consumers.requests import Usage, chunk, needed
from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_NAME = "runai-model-streamer"
_MIN_IN_FLIGHT, _MAX_IN_FLIGHT = 3, 1024
_MIN_THREAD_CHUNK = 2 << 20
_CHUNK, _THREAD_CHUNK = "RUNAI_STREAMER_FS_CHUNK_BYTESIZE", "RUNAI_STREAMER_CHUNK_BYTESIZE"
_ASYNCHRONOUS = Usage(direction="read", engines=("io_uring",), usual_bytes=8 << 20, usual=f"the default of {_CHUNK}")
_SYNCHRONOUS = Usage(
    direction="read", engines=("psync",), usual_bytes=_MIN_THREAD_CHUNK, usual=f"the default of {_THREAD_CHUNK}"
)
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
    return _threads(drive, options) if is_older(options, _NAME, "0.17") else _asynchronous(drive, options)


def _asynchronous(drive: DriveSettings, options: ExportOptions) -> Export:
    """Return the variables of releases with asynchronous readers."""
    size, size_notes = chunk(drive, _ASYNCHRONOUS, options, _CHUNK)
    wanted, _, depth_notes = needed(drive, _ASYNCHRONOUS, size, "RUNAI_STREAMER_FS_QUEUE_DEPTH")
    depth = max(_MIN_IN_FLIGHT, min(wanted, _MAX_IN_FLIGHT))
    notes = (*size_notes, *depth_notes)
    if depth != wanted:
        limits = f"the streamer takes {_MIN_IN_FLIGHT} to {_MAX_IN_FLIGHT}"
        notes += (f"RUNAI_STREAMER_FS_QUEUE_DEPTH: {depth} instead of {wanted}; {limits}.",)
    return Export(
        format="env",
        values={("RUNAI_STREAMER_FS_QUEUE_DEPTH",): depth, (_CHUNK,): size},
        notes=(*notes, *_ASYNCHRONOUS_NOTES),
    )


def _threads(drive: DriveSettings, options: ExportOptions) -> Export:
    """Return the variables of releases that have only threads, with one request in flight each."""
    cap = options.max_block_size
    if cap is not None and cap < _MIN_THREAD_CHUNK:
        least = f"below the smallest read of {_NAME} {options.for_version}"
        raise UsageError(f"--max-block-size {cap}: {least}; pass {_MIN_THREAD_CHUNK} or more")
    wanted, notes = chunk(drive, _SYNCHRONOUS, options, _THREAD_CHUNK)
    size = max(wanted, _MIN_THREAD_CHUNK)
    if size != wanted:
        notes = (f"{_THREAD_CHUNK}: {size} bytes instead of {wanted}; the minimum of this release.",)
    threads, _, thread_notes = needed(drive, _SYNCHRONOUS, size, "RUNAI_STREAMER_CONCURRENCY")
    return Export(
        format="env",
        values={
            ("RUNAI_STREAMER_CONCURRENCY",): min(threads, _MAX_IN_FLIGHT),
            (_THREAD_CHUNK,): size,
        },
        notes=(*notes, *thread_notes, *_THREADS_NOTES),
    )
