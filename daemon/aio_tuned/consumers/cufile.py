"""cuFile, the library of NVIDIA's GPUDirect Storage: cufile.json (CUFILE_ENV_PATH_JSON, else /etc/cufile.json).

The installed file has // comments, so it is not plain JSON. Sizes are in KiB. A value out of its range, or of another
type, makes cuFileDriverOpen fail, so every value is kept within the limits that cuFileGetParameterMinMaxValue reports.

    properties.max_direct_io_size_kb      largest request to the drive   64 ... 16384, a multiple of 64
    properties.per_buffer_cache_size_kb   a bounce buffer                64 ... 16384, at most the one above
    execution.parallel_io                 false: one thread only         true by default
    execution.max_io_threads              threads of the library         0 ... 128
    execution.max_request_parallelism     parts of one read or write     0 ... 8

Each thread has one request in flight, so the number of threads is that of psync in the curves at the size of a request,
the larger one of reads and writes, because the file applies to both. The size is 16 MiB (cuFile's default), a measured
size near it that gives more throughput, or --request-size. Without these curves both are of the combined settings:
block_size and `saturating_concurrency`.

execution.max_io_queue_depth (1 ... 256) is not set: it limits the parts that wait inside the library for a thread, not
the requests in flight on the drive, and its default of 128 is enough for the largest number of threads.
execution.min_io_threshold_size_kb, below which a read or write is not split, is not set either. cuFile has no
overlap_events and no single_submit. Since release 1.20 the log calls the two sizes deprecated in favour of
gpu_bounce_buffer_slab_config, but they still apply.

Checked with nvidia-cufile 1.20.0.107 without a GPU: cuFileDriverOpen accepts the file, and cuFileGetParameterSizeT
reports its values. The effect of the keys on I/O is from NVIDIA's documentation ("GPUDirect Storage Parameters").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, release_ignored
from aio_tuned.consumers.requests import Usage, chunk, needed
from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_STEP_KB = 64
_MAX_KB = 16384
_USUAL_BOUNCE_KB = 1024
_MAX_THREADS = 128
_MAX_PARTS = 8
_SIZE = "max_direct_io_size_kb"
_USAGE = Usage(
    direction="combined", engines=("psync",), usual_bytes=_MAX_KB << 10, usual=f"the default of properties.{_SIZE}"
)
_THREADS_NOTE = (
    "execution.max_io_threads: the number of requests in flight, because each thread has one; cuFile has no "
    "queue_depth, overlap_events or single_submit."
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the part of cufile.json for the drive.

    Raise UsageError if the cap is below cuFile's smallest request, 64 KiB.
    """
    del path
    cap = options.max_block_size
    if cap is not None and cap < _STEP_KB << 10:
        raise UsageError(f"--max-block-size {cap}: below cuFile's smallest request; pass {_STEP_KB << 10} or more")
    size, size_notes = chunk(drive, _USAGE, options, f"properties.{_SIZE}")
    request = min(max((size >> 10) // _STEP_KB * _STEP_KB, _STEP_KB), _MAX_KB)
    wanted, _, thread_notes = needed(drive, _USAGE, request << 10, "execution.max_io_threads")
    notes = [*size_notes, *thread_notes, _THREADS_NOTE]
    if request << 10 != size:
        limits = f"cuFile takes multiples of {_STEP_KB} KiB, at most {_MAX_KB} KiB"
        notes.append(f"properties.{_SIZE}: {request} KiB instead of {size} bytes; {limits}.")
    threads = min(wanted, _MAX_THREADS)
    if threads < wanted:
        notes.append(f"execution.max_io_threads: {threads} instead of {wanted}; cuFile allows at most {_MAX_THREADS}.")
    return Export(
        format="json",
        values={
            ("properties", _SIZE): request,
            # The library refuses a bounce buffer that is larger than a request.
            ("properties", "per_buffer_cache_size_kb"): min(request, _USUAL_BOUNCE_KB),
            ("execution", "parallel_io"): True,
            ("execution", "max_io_threads"): threads,
            ("execution", "max_request_parallelism"): min(threads, _MAX_PARTS),
        },
        notes=(*notes, *release_ignored(options, "cuFile")),
    )
