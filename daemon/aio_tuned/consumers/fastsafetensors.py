"""fastsafetensors, which loads safetensors files: a JSON file (FASTSAFETENSORS_CONFIG, else ./fastsafetensors.json).

It only reads, with a pool of threads, and each has one request in flight. So the number of threads is that of
psync in the curve of reads, at the size of a request. The size is the one that the defaults below give (512 KiB since
release 0.5, 1 MiB up to 0.4), a measured size near it that gives more throughput, or --request-size. Without that curve
both are of the read settings: block_size and `saturating_concurrency`. There is no queue depth, overlap_events or
single_submit.

    base.max_threads    threads                                     1 ... 1024, 16 by default
    base.bbuf_size_kb   KiB of bounce buffers, of all threads       16384

A request is as large as one bounce buffer. Each thread has two since release 0.5, and one up to 0.4; bbuf_size_kb is
the size of all together. Only AutoLoader reads the file, since release 0.3.2.

Only the copier "nogds" has bounce buffers. The copier "gds" (the default of base.copier_type) falls back to it if
GPUDirect Storage is missing. With GPUDirect Storage max_threads still applies, but requests are 16 MiB, and cuFile
splits them according to its own file: see the consumer cufile. Up to 0.4 the copier "nogds" reads each file with one
thread through the page cache; since 0.5 with all threads and O_DIRECT, except on network filesystems.

Checked with releases 0.5.0 and 0.4.0 on a CPU: the number of threads (0.5.0), and the reads that the kernel counts.
The sources of 0.3.2 and 0.3.3 are the same as those of 0.4.0 there (config.py, nogds.py, ext.hpp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, is_older, need_release
from aio_tuned.consumers.requests import Usage, chunk, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_MAX_THREADS = 1024
_USUAL_THREADS = 16
_USUAL_BUFFERS_BYTES = 16 << 20
_NOTES = (
    (
        "base.max_threads: the number of requests in flight, because each thread has one; fastsafetensors has no "
        "queue_depth, overlap_events or single_submit."
    ),
    "base.bbuf_size_kb: no effect with GPUDirect Storage.",
)
_BEFORE_NOTE = (
    "base.max_threads: this release reads each file with one thread, so threads beyond the number of files are idle; "
    "it reads through the page cache, but the settings were measured with O_DIRECT."
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return a part of fastsafetensors' file.

    Raise UsageError for a release before 0.3.2, or for a size that chunk() refuses.
    """
    del path
    need_release(options, "fastsafetensors", "0.3.2", "configuration file")
    before = is_older(options, "fastsafetensors", "0.5")
    buffers_of_a_thread = 1 if before else 2
    usage = Usage(
        direction="read",
        engines=("psync",),
        usual_bytes=_USUAL_BUFFERS_BYTES // (_USUAL_THREADS * buffers_of_a_thread),
        usual="the default of bbuf_size_kb for a thread",
    )
    size, size_notes = chunk(drive, usage, options, "base.bbuf_size_kb")
    wanted, _, thread_notes = needed(drive, usage, size, "base.max_threads")
    threads = min(wanted, _MAX_THREADS)
    buffers = threads * buffers_of_a_thread
    note = (
        f"base.bbuf_size_kb: {buffers} buffers of {size} bytes, for release "
        f"{'0.4 and earlier' if before else '0.5 and later; pass --for-version for 0.4, which has half as many'}."
    )
    most = (f"base.max_threads: {threads} instead of {wanted}; {_MAX_THREADS} is the maximum.",)
    return Export(
        format="json",
        values={
            ("base", "max_threads"): threads,
            ("base", "bbuf_size_kb"): -(-buffers * size // 1024),  # rounded up
        },
        notes=(
            *size_notes,
            *thread_notes,
            *(most if threads < wanted else ()),
            note,
            *_NOTES,
            *((_BEFORE_NOTE,) if before else ()),
        ),
    )
