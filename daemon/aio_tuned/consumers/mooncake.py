"""Mooncake Store's offload of KV cache to a drive: environment variables of its client.

    MOONCAKE_OFFLOAD_FILE_STORAGE_PATH   the folder, absolute; a text           /data/file_storage by default
    MOONCAKE_OFFLOAD_USE_URING           "true": io_uring and O_DIRECT;         "false"
                                         "false": one read or write at a time
                                         in each thread

None of our parameters exists there. The ring of io_uring has a fixed depth of 32 in each thread, a request is as large
as the stored objects that it is for, and the threads are not a setting. So the export has the folder that was named,
and io_uring if the drive takes more than one request in flight (`saturating_concurrency` of the combined settings).
MOONCAKE_OFFLOAD_LOCAL_BUFFER_SIZE_BYTES and MOONCAKE_OFFLOAD_BUCKET_SIZE_LIMIT_BYTES are no block sizes: staging memory
for all objects, and the size of a file.

The client must have offload enabled (`enable_ssd_offload` or --enable_offload, also of the master), and its own option
`ssd_offload_path` goes before the folder here. MOONCAKE_NVME_KV_* are for drives with the NVMe key-value command set.

Checked with release 0.3.13.post1 on a CPU: objects arrive in the folder, the ring is made, and its log tells its depth.
Documentation: SSD Offload (ssd-offload.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_ignored, need_folder, release_ignored

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_URING = "MOONCAKE_OFFLOAD_USE_URING"
_RING_DEPTH = 32
_MEMORY_NOTE = (
    f"{_URING}: with `ulimit -l` below MOONCAKE_OFFLOAD_LOCAL_BUFFER_SIZE_BYTES (1.25 GiB unless set) it works, "
    "but cannot register its buffers, which makes it slower."
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the variables of a client that offloads to the folder `path`; raise UsageError for a device."""
    need_folder(path, "Mooncake Store's client")
    concurrency = drive.combined.saturating_concurrency
    lacking = "block_size, queue_depth, io_parallelism, overlap_events and single_submit do not exist in Mooncake Store"
    ring = f"its ring is {_RING_DEPTH} deep in each thread, and this drive takes {concurrency} requests in flight"
    notes = [f"{_URING}: that is all: {lacking}; {ring}."]
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
