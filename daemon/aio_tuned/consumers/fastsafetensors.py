"""fastsafetensors, which loads safetensors files: a JSON file (FASTSAFETENSORS_CONFIG, else ./fastsafetensors.json).

It only reads. A pool of threads reads, each waits for its request: a queue depth does not exist, nor do overlap_events
and single_submit. So the number of threads is how many requests the drive takes in flight (`saturating_concurrency`
of the read settings).

    base.max_threads    threads                                     1 ... 1024, 16 by default
    base.bbuf_size_kb   KiB of bounce buffers, of all threads       16384

A request is as large as one bounce buffer. Each thread has two since release 0.5, and one up to 0.4; bbuf_size_kb is
the size of them all. The file is read only through AutoLoader, which came with 0.3.2.

Only the copier "nogds" has bounce buffers, which the copier "gds" (the default of base.copier_type) falls back to where
GPUDirect Storage is missing. With GPUDirect Storage max_threads holds, while requests are of 16 MiB, and cuFile
splits them by its own file: see the consumer cufile. Up to 0.4 the copier "nogds" reads one file with one thread,
through the page cache; since 0.5 with all threads and O_DIRECT, unless the file system is a network's.

Checked with releases 0.5.0 and 0.4.0 on a CPU: the number of threads (0.5.0) and of reads that the kernel counts.
0.3.2 and 0.3.3 have the same as 0.4.0 in their sources (config.py, nogds.py, ext.hpp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_note, capped, is_older, need_release

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_MAX_THREADS = 1024
_NOTES = (
    (
        "base.max_threads: requests in flight over all threads, for every thread waits for its request; "
        "queue_depth, overlap_events and single_submit do not exist in fastsafetensors."
    ),
    "base.bbuf_size_kb: without effect where GPUDirect Storage is used.",
)
_BEFORE_NOTE = (
    "base.max_threads: this release reads each file with one thread, so no more are used than there are files; "
    "and it reads through the page cache, which the settings were measured without."
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return a part of fastsafetensors' file; raise UsageError for a release before 0.3.2, or a cap below 4096."""
    del path
    need_release(options, "fastsafetensors", "0.3.2", "configuration file")
    settings = capped(drive.read, options)
    threads = min(settings.saturating_concurrency, _MAX_THREADS)
    before = is_older(options, "fastsafetensors", "0.5")
    buffers = threads if before else threads * 2
    note = (
        f"base.bbuf_size_kb: {buffers} buffers of {settings.block_size} bytes, for release "
        f"{'0.4 and earlier' if before else '0.5 and later; before, a thread has half as many, so name your release'}."
    )
    wanted = settings.saturating_concurrency
    most = (f"base.max_threads: {threads}, the most that there may be; {wanted} would be best.",)
    return Export(
        format="json",
        values={
            ("base", "max_threads"): threads,
            ("base", "bbuf_size_kb"): -(-buffers * settings.block_size // 1024),  # rounded up
        },
        notes=(
            *cap_note("base.bbuf_size_kb", drive.read, settings),
            *(most if threads < wanted else ()),
            note,
            *_NOTES,
            *((_BEFORE_NOTE,) if before else ()),
        ),
    )
