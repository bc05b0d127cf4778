"""FlexKV's cache on local disks: an environment variable of its process.

    FLEXKV_IOURING_ENTRIES   entries of the ring of each transfer process   512 by default; 0 is synchronous I/O

A transfer process fills its ring with a request for each block of a transfer, and submits only when half of the entries
are prepared. So the number of entries is twice the number of requests in flight: while one half is prepared, the other
is in flight. It is at least the default: when all entries are in use, FlexKV does one request synchronously, and
prepares none until that one is complete. (Of 4096 requests of 128 KiB these were 443 with 8 entries, 36 with 64 and 2
with 512.)

The number in flight is that of io_uring in the curves, the larger one of reads and writes, with requests of 2 MiB
unless --request-size gives another size. That is a block of 16 tokens, the default, in the layout BLOCKFIRST, the
default too, for a model of 32 layers with 8 heads of 128 values in 16 bits (Llama 3.1 8B). FlexKV joins adjacent blocks
in one request in some layouts, and bypasses the page cache if addresses and sizes are multiples of 4096 bytes. Without
these curves the number is the `saturating_concurrency` of the combined settings. One ring serves all folders.

Not set: FLEXKV_SSD_CACHE_DIR, folders separated by ";", and FLEXKV_SSD_CACHE_GB, because the user decides where the
cache is and how large it may grow. A file named by FLEXKV_CONFIG_PATH has precedence over the environment; there the
key is iouring_entries. FLEXKV_IOURING_FLAGS are the kernel's flags of the ring. With GPUDirect Storage (enable_gds)
cuFile moves the data: see the consumers cufile and nixl_gds.

FlexKV does not have block_size (its blocks count tokens), io_parallelism, single_submit or overlap_events.

FlexKV is not in the Python package index, so no test runs it. The variable is in the sources of releases 1.2.0 and
1.2.1 and of a later snapshot (flexkv/common/config.py, csrc/transfer_ssd.h), and not in 1.1.0; the configuration of the
snapshot takes it, and its ring was run alone for the figures above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_ignored, need_folder, need_release
from aio_tuned.consumers.requests import KV_BLOCK, KV_BLOCK_BYTES, Usage, assumed_size, good_size, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_ENTRIES = "FLEXKV_IOURING_ENTRIES"
_USUAL_ENTRIES = 512
# The kernel refuses a larger ring, and FlexKV then does synchronous I/O.
_MAX_ENTRIES = 32768
_USAGE = Usage(
    direction="combined",
    engines=("io_uring",),
    usual_bytes=KV_BLOCK_BYTES,
    usual=KV_BLOCK,
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return FlexKV's variable for the drive; raise UsageError for a device, or for a release without the variable."""
    need_folder(path, "FlexKV's cache")
    need_release(options, "FlexKV", "1.2.0", _ENTRIES)
    size, assumed = assumed_size(drive, _USAGE, options)
    requests, _, origin = needed(drive, _USAGE, size, _ENTRIES)
    entries = min(max(2 * requests, _USUAL_ENTRIES), _MAX_ENTRIES)
    enough = "half of the entries are submitted at once, and a smaller ring than FlexKV's own does some synchronously"
    good = good_size(drive, _USAGE) or drive.combined.block_size
    notes = [
        *assumed,
        *origin,
        f"{_ENTRIES}: {entries} for {requests} requests in flight, because {enough}.",
        f"FLEXKV_SSD_CACHE_DIR: set it to {path} or a folder below it, and FLEXKV_SSD_CACHE_GB above 0.",
        "FLEXKV_CONFIG_PATH: if it is set, write iouring_entries into that file; it has precedence.",
        f"block_size: counts tokens in FlexKV; choose a tokens_per_block that makes about {good} bytes.",
        "io_parallelism, overlap_events, single_submit: not in FlexKV.",
    ]
    notes += cap_ignored(options, "FlexKV's requests have the size of its blocks")
    return Export(format="env", values={(_ENTRIES,): entries}, notes=tuple(notes))
