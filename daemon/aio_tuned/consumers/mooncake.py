"""Mooncake Store's offload of KV cache to a drive: environment variables of its client.

    MOONCAKE_OFFLOAD_FILE_STORAGE_PATH   the folder, an absolute path           /data/file_storage by default
    MOONCAKE_OFFLOAD_USE_URING           "true": io_uring and O_DIRECT;         "false"
                                         "false": one read or write at a time
                                         in each thread

Mooncake has none of aio-tuned's parameters. The io_uring of each thread has a fixed depth of 32, a request is as large
as the stored object, and the number of threads cannot be set. So the export has the folder that was named, and io_uring
if more than one request in flight saturates the drive, by the curves of io_uring for reads or writes of the size of an
object: 1 MiB unless --request-size gives another size. Without these curves it is the `saturating_concurrency` of the
combined settings.
MOONCAKE_OFFLOAD_LOCAL_BUFFER_SIZE_BYTES and MOONCAKE_OFFLOAD_BUCKET_SIZE_LIMIT_BYTES are not block sizes, but the
staging memory for all objects and the size of a file.

The client and the master must have offload enabled (`enable_ssd_offload` or --enable_offload). The client's own option
`ssd_offload_path` has precedence over this folder. MOONCAKE_NVME_KV_* are for drives with the NVMe key-value commands.

Checked with release 0.3.13.post1 on a CPU: objects arrive in the folder, and the log reports the ring and its depth.
Documentation: SSD Offload (ssd-offload.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_ignored, need_folder, release_ignored
from aio_tuned.consumers.requests import Usage, assumed_size, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_URING = "MOONCAKE_OFFLOAD_USE_URING"
_RING_DEPTH = 32
_USAGE = Usage(
    direction="combined", engines=("io_uring",), usual_bytes=1 << 20, usual="since the objects' size is not known"
)
_MEMORY_NOTE = (
    f"{_URING}: slower if `ulimit -l` is below MOONCAKE_OFFLOAD_LOCAL_BUFFER_SIZE_BYTES (1.25 GiB by default), because "
    "it cannot register its buffers then."
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the variables of a client that offloads to the folder `path`; raise UsageError for a device."""
    need_folder(path, "Mooncake Store's client")
    size, assumed = assumed_size(drive, _USAGE, options)
    concurrency, _, origin = needed(drive, _USAGE, size, _URING)
    lacking = "Mooncake Store has no block_size, queue_depth, io_parallelism, overlap_events or single_submit"
    ring = f"its queue holds {_RING_DEPTH} requests per thread, and {concurrency} requests saturate this drive"
    notes = [*assumed, *origin, f"{_URING}: the only tunable; {lacking}; {ring}."]
    if concurrency > 1:
        notes.append(_MEMORY_NOTE)
    notes += cap_ignored(options, "Mooncake Store's requests are as large as its objects")
    return Export(
        format="env",
        values={
            ("MOONCAKE_OFFLOAD_FILE_STORAGE_PATH",): path,
            (_URING,): "true" if concurrency > 1 else "false",
        },
        notes=(*notes, *release_ignored(options, "Mooncake Store")),
    )
