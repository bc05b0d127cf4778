"""cuFile, the library of NVIDIA's GPUDirect Storage: cufile.json (CUFILE_ENV_PATH_JSON, else /etc/cufile.json).

The installed file has // comments, so it is not plain JSON. Sizes are in KiB. A value out of its range, or of another
type, makes cuFileDriverOpen fail, so every value is kept within the limits that cuFileGetParameterMinMaxValue reports.

    properties.max_direct_io_size_kb      largest request to the drive   64 ... 16384, a multiple of 64
    properties.per_buffer_cache_size_kb   a bounce buffer                64 ... 16384, at most the one above
    execution.parallel_io                 false: one thread only         true by default
    execution.max_io_threads              threads of the library         0 ... 128
    execution.max_request_parallelism     parts of one read or write     0 ... 8

Each thread has one request in flight, so the number of threads is the `saturating_concurrency` of the combined
settings; the file applies to reads and writes.

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

from aio_tuned.consumers.export import Export, cap_note, capped, release_ignored
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
    settings = capped(drive.combined, options)
    notes = [*cap_note(f"properties.{_SIZE}", drive.combined, settings), _THREADS_NOTE]
    request = min(max((settings.block_size >> 10) // _STEP_KB * _STEP_KB, _STEP_KB), _MAX_KB)
    if request << 10 != settings.block_size:
        limits = f"cuFile takes multiples of {_STEP_KB} KiB, at most {_MAX_KB} KiB"
        notes.append(f"properties.{_SIZE}: {request} KiB instead of {settings.block_size} bytes; {limits}.")
    wanted = settings.saturating_concurrency
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
