"""NIXL's plugins for GPUDirect Storage: the parameters of create_backend("GDS_MT", …) and create_backend("GDS", …).

As for the POSIX plugin (see nixl.py), the export is a TOML file whose tables an application reads and passes to NIXL:

    agent.create_backend("GDS_MT", tomllib.loads(text)["GDS_MT"])

All parameters are strings. Both plugins call cuFile, whose own file applies too: see the consumer cufile.

- GDS_MT.thread_count: threads, half of the CPUs by default. Each moves one descriptor with cuFileRead or cuFileWrite,
  so the number is that of psync in the curves, the larger one of reads and writes: with descriptors of 1 MiB unless
  --request-size gives another size, because the application chooses it. Without these curves it is the
  `saturating_concurrency` of the combined settings.
- GDS.max_request_size: bytes of a request, 16 MiB by default; GDS divides longer descriptors. It is 16 MiB, a measured
  size near it that gives more throughput, or --request-size. All requests of a transfer are submitted at once, in
  batches, so the engine is libaio, else io_uring.
- GDS.batch_pool_size: batches of all transfers in progress, 16 by default. A transfer fails if no batch is left, so the
  number grows as the requests become smaller, and the same number of bytes can be in progress as by default, 32 GiB.

GDS.batch_limit, requests of one batch, is not set: a transfer with more requests has several batches, all at once, and
cuFile refuses batches above its io_batchsize, which is 128, GDS's default.

The plugins have no single_submit or overlap_events. O_DIRECT is for the application, which opens the files.

Checked with nixl 1.5.1 without a GPU: with stubs of cuFile and the CUDA runtime, GDS_MT has these threads, GDS makes
requests of this size and batches in this number, and both move a file byte for byte. cuFile itself was not part of it.
The parameters are in 0.7.1, the oldest release in the package index. Source: src/plugins/gds_mt, src/plugins/cuda_gds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, release_ignored
from aio_tuned.consumers.processes import shared_note
from aio_tuned.consumers.requests import Usage, assumed_size, chunk, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_THREADS, _SIZE, _POOL = "GDS_MT.thread_count", "GDS.max_request_size", "GDS.batch_pool_size"
_USUAL_REQUEST, _USUAL_POOL = 16 << 20, 16
_THREADED = Usage(direction="combined", engines=("psync",), usual_bytes=1 << 20, usual="since NIXL itself has no size")
_BATCHED = Usage(
    direction="combined",
    engines=("libaio", "io_uring"),
    usual_bytes=_USUAL_REQUEST,
    usual=f"the default of {_SIZE}",
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the tables "GDS_MT" and "GDS" of a TOML file; raise UsageError for a size that chunk() refuses."""
    del path
    size, assumed = assumed_size(drive, _THREADED, options)
    threads = needed(drive, _THREADED, size, _THREADS)
    request, request_notes = chunk(drive, _BATCHED, options, _SIZE)
    pool = max(_USUAL_POOL, math.ceil(_USUAL_POOL * _USUAL_REQUEST / request))
    notes = [*assumed, *threads.notes, shared_note(drive, "combined", _THREADS, "per agent"), *request_notes]
    if pool != _USUAL_POOL:
        notes.append(f"{_POOL}: {pool} instead of {_USUAL_POOL}, because smaller requests need more batches.")
    notes += [
        "overlap_events, single_submit: not in NIXL.",
        "O_DIRECT: not in NIXL; open the files with it, because the settings were measured with O_DIRECT.",
        "CUFILE_ENV_PATH_JSON: name the file of the cufile export with it; cuFile moves the data of both plugins.",
    ]
    return Export(
        format="toml",
        values={
            ("GDS_MT", "thread_count"): str(threads.in_flight),
            ("GDS", "max_request_size"): str(request),
            ("GDS", "batch_pool_size"): str(pool),
        },
        notes=(*notes, *release_ignored(options, "NIXL")),
    )
