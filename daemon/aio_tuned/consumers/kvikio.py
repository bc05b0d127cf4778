"""KvikIO (RAPIDS), which reads and writes files from and into GPU or host memory: environment variables.

It splits a read or write into tasks and runs them in a pool of threads, each of which has one request in flight. So the
number of threads is that of psync in the curves at the size of a task, the larger one of reads and writes. The size is
4 MiB (KvikIO's default), a measured size near it that gives more throughput, or --request-size. Without these curves
both are of the combined settings: block_size and `saturating_concurrency`. There is no queue depth, overlap_events or
single_submit.

    KVIKIO_NTHREADS             threads of the pool, one for the process            1 by default
    KVIKIO_TASK_SIZE            bytes of one task, the largest request              4194304
    KVIKIO_BOUNCE_BUFFER_SIZE   bytes of the host buffer that a thread copies       16777216
                                through to a GPU; a request is never larger
    KVIKIO_AUTO_DIRECT_IO_READ, 1 to bypass the page cache where alignment allows   0
    KVIKIO_AUTO_DIRECT_IO_WRITE                                                     1

Sizes are plain numbers of bytes: a suffix is silently dropped ("4m" is 4 bytes), and 2 GiB and more are refused. The
pool serves reads and writes. Release 25.12 introduced the two switches.

With GPUDirect Storage each task is one cuFileRead or cuFileWrite, which cuFile splits further according to its own
file: see the consumer cufile. KVIKIO_THREAD_POOL_PER_BLOCK_DEVICE (26.02) gives every drive a pool of KVIKIO_NTHREADS
threads.

Checked with release 26.10.0 on a CPU: `kvikio.defaults` reports the values, and files are read and written in tasks
of that size. The keys of earlier releases, back to 24.10, are from its sources (defaults.hpp, defaults.cpp).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, is_older, need_release
from aio_tuned.consumers.requests import Usage, chunk, needed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.consumers.export import ExportOptions, Key, Value
    from aio_tuned.reader import DriveSettings

_USAGE = Usage(direction="combined", engines=("psync",), usual_bytes=4 << 20, usual="the default of KVIKIO_TASK_SIZE")
_USUAL_BOUNCE_BYTES = 16 << 20
_DEFAULTS: Mapping[tuple[Key, ...], Value] = {
    ("KVIKIO_NTHREADS",): 1,
    ("KVIKIO_TASK_SIZE",): 4 << 20,
    ("KVIKIO_BOUNCE_BUFFER_SIZE",): _USUAL_BOUNCE_BYTES,
    ("KVIKIO_AUTO_DIRECT_IO_READ",): 0,
    ("KVIKIO_AUTO_DIRECT_IO_WRITE",): 1,
}
_THREADS_NOTE = (
    "KVIKIO_NTHREADS: the number of requests in flight, because each thread has one; KvikIO has no queue_depth, "
    "overlap_events or single_submit."
)
_DIRECT_IO_NOTE = (
    "KVIKIO_AUTO_DIRECT_IO_READ: 1, because the settings were measured with O_DIRECT; set 0 for files that are read "
    "repeatedly and fit into memory."
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return KvikIO's variables for the drive.

    Raise UsageError for a release before 24.10, or for a size that chunk() refuses.
    """
    del path
    need_release(options, "KvikIO", "24.10", "KVIKIO_BOUNCE_BUFFER_SIZE")
    task, size_notes = chunk(drive, _USAGE, options, "KVIKIO_TASK_SIZE")
    threads = needed(drive, _USAGE, task, "KVIKIO_NTHREADS")
    values: dict[tuple[Key, ...], Value] = {
        ("KVIKIO_NTHREADS",): threads.in_flight,
        ("KVIKIO_TASK_SIZE",): task,
        # A smaller bounce buffer would split the tasks, and Mmap refuses it.
        ("KVIKIO_BOUNCE_BUFFER_SIZE",): max(task, _USUAL_BOUNCE_BYTES),
    }
    notes = (*size_notes, *threads.notes, _THREADS_NOTE)
    if not is_older(options, "KvikIO", "25.12"):
        values |= {("KVIKIO_AUTO_DIRECT_IO_READ",): 1, ("KVIKIO_AUTO_DIRECT_IO_WRITE",): 1}
        notes = (*notes, _DIRECT_IO_NOTE)
    defaults = {path: _DEFAULTS[path] for path in values}
    return Export(format="env", values=values, defaults=defaults, notes=notes)
