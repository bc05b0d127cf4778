"""Dynamo's KV block manager (KVBM) with a cache on a drive: an environment variable of its process.

    DYN_KVBM_MAX_CONCURRENT_TRANSFERS   transfers in progress on each path      4 by default
    DYN_KVBM_MAX_TRANSFER_BATCH_SIZE    most blocks of one transfer             16

A transfer to the drive is one block, a transfer from it up to a batch of blocks, and each block is a request of NIXL.
So the number of transfers is that of writes in flight, or that of reads divided by the batch of 16 if it is larger.
Both are of libaio in the curves, which NIXL's POSIX plugin uses, or of io_uring, which is asynchronous too, if libaio
has no curves. A request has 2 MiB unless --request-size gives another size: a block of 16 tokens of a model of 32
layers with 8 heads of 128 values in 16 bits (Llama 3.1 8B). Without these curves they are the `saturating_concurrency`
of the read and write settings. The variable also applies to the paths between the GPU and host memory.

Not set:

- DYN_KVBM_MAX_TRANSFER_BATCH_SIZE: smaller batches would also divide the copies between the GPU and host memory.
- DYN_KVBM_DISK_CACHE_DIR, /tmp by default, and DYN_KVBM_DISK_CACHE_GB: the user decides where the cache is and how
  large it may grow.
- DYN_KVBM_DISK_DISABLE_O_DIRECT: KVBM uses O_DIRECT unless it is true; the drive was measured with O_DIRECT.

With GPUDirect Storage KVBM uses NIXL's plugin GDS_MT with that plugin's default number of threads, half of the CPUs.
KVBM does not have block_size (its blocks count tokens), queue_depth, io_parallelism, single_submit or overlap_events.

KVBM does not start without a GPU, so no test runs it. The library of release 1.6.1 names the variable, as those of
1.1.1 to 1.5.0 do and that of 1.0.0 does not; its meaning is from the source (lib/llm/src/block_manager/offload.rs,
offload/pending.rs).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_ignored, need_folder, need_release
from aio_tuned.consumers.processes import shared_note
from aio_tuned.consumers.requests import KV_BLOCK, KV_BLOCK_BYTES, Usage, assumed_size, good_size, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_TRANSFERS = "DYN_KVBM_MAX_CONCURRENT_TRANSFERS"
_BATCH = 16
_READS, _WRITES = (
    Usage(
        direction=direction,
        engines=("libaio", "io_uring"),
        usual_bytes=KV_BLOCK_BYTES,
        usual=KV_BLOCK,
    )
    for direction in ("read", "write")
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return KVBM's variable for the drive; raise UsageError for a device, or for a release without the variable."""
    need_folder(path, "KVBM's disk cache")
    need_release(options, "KVBM", "1.1.1", _TRANSFERS)
    size, assumed = assumed_size(drive, _READS, options)
    reads = needed(drive, _READS, size, _TRANSFERS)
    writes = needed(drive, _WRITES, size, _TRANSFERS)
    transfers = max(math.ceil(reads.in_flight / _BATCH), writes.in_flight)
    batches = f"batches of {_BATCH}"
    good = good_size(drive, _READS) or drive.read.block_size
    notes = [
        *assumed,
        *reads.notes,
        *writes.notes,
        f"{_TRANSFERS}: {transfers} for {writes.in_flight} writes of a block, or {reads.in_flight} reads in {batches}.",
        f"{_TRANSFERS}: applies to copies between the GPU and host memory too.",
        f"DYN_KVBM_DISK_CACHE_DIR: set it to {path} or a folder below it, and DYN_KVBM_DISK_CACHE_GB above 0.",
        shared_note(drive, "write", _TRANSFERS, "per block manager"),
        f"block_size: counts tokens in KVBM; choose one that makes about {good} bytes.",
        "queue_depth, io_parallelism, overlap_events, single_submit: not in KVBM.",
    ]
    notes += cap_ignored(options, "KVBM's requests have the size of its blocks")
    return Export(format="env", values={(_TRANSFERS,): transfers}, notes=tuple(notes))
