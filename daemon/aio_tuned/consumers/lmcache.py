"""LMCache's cache on local disks: the YAML of LMCACHE_CONFIG_FILE.

LMCache stores each chunk of tokens in a file of its own, with threads of synchronous I/O. Each thread moves a whole
file in one request, so the number of threads is that of psync in the curves at the size of a chunk, the larger one of
reads and writes: 32 MiB unless --request-size gives another size. That is chunk_size = 256 tokens, the default, of a
model of 32 layers with 8 heads of 128 values in 16 bits (Llama 3.1 8B).

- extra_config.disk_io_threads: threads, 4 by default, of each worker (one per GPU): that many for reads, and that many
  for writes and prefetches, of which at most min(32, CPUs + 4), the size of Python's default executor, run at a time.
  local_disk reads it, and gds_path too.
- extra_config.use_odirect: a boolean, false by default. The drive was measured with O_DIRECT. LMCache uses it for
  files whose size is a multiple of the filesystem's block, and the page cache for others.

local_disk, a list of folders separated by commas, and max_local_disk_size, in GiB, are not set: the user decides where
the cache is and how large it may grow. Without both this cache is off, and only gds_path reads these keys.

LMCache does not have these for files:

- block_size: chunk_size counts tokens; their bytes depend on the model.
- queue_depth, io_parallelism, single_submit, overlap_events: the number of threads replaces them.

rust_raw_block.* is for a whole drive without a filesystem, and so is not set; a note gives the number for its
iouring_queue_depth from the curves of io_uring. NIXL storage in LMCache (extra_config.enable_nixl_storage) takes NIXL's
own parameters, see nixl.py. The server of LMCache's multiprocess mode does not read this file, but gets its storage on
its command line.

Without these curves the number is the saturating_concurrency of the combined settings. Checked with lmcache 0.5.6, by
running its storage on a CPU; disk_io_threads is in 0.5.1 and not in 0.5.0. Source: lmcache/v1 (config.py,
storage_backend/local_disk_backend.py, storage_backend/job_executor/pq_executor.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_ignored, need_folder, need_release
from aio_tuned.consumers.processes import shared_note
from aio_tuned.consumers.requests import KV_CHUNK, KV_CHUNK_BYTES, Usage, assumed_size, good_size, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_USAGE = Usage(
    direction="combined",
    engines=("psync",),
    usual_bytes=KV_CHUNK_BYTES,
    usual=KV_CHUNK,
)

_RAW_BLOCK = replace(_USAGE, engines=("io_uring",))


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return a part of LMCache's YAML; raise UsageError for a device, or for a release without disk_io_threads."""
    need_folder(path, "LMCache's disk")
    need_release(options, "LMCache", "0.5.1", "disk_io_threads")
    size, assumed = assumed_size(drive, _USAGE, options)
    threads = needed(drive, _USAGE, size, "disk_io_threads")
    raw_block = needed(drive, _RAW_BLOCK, size, "rust_raw_block.iouring_queue_depth")
    good = good_size(drive, _USAGE) or drive.combined.block_size
    notes = [
        *assumed,
        *threads.notes,
        f"local_disk: set it to {path} or a folder below it, and max_local_disk_size above 0 (GiB), to use the drive.",
        *(raw_block.notes if raw_block.measured else ()),
        shared_note(drive, "combined", "disk_io_threads", "per worker"),
        "queue_depth, overlap_events, single_submit: not in LMCache, whose threads have one request each.",
        f"block_size: not in LMCache; choose a chunk_size (tokens) that makes about {good} bytes.",
        "nixl_backend_params: for LMCache's NIXL storage, copy the parameters of the nixl export into it.",
    ]
    notes += cap_ignored(options, "LMCache's files have the size of a chunk of tokens")
    return Export(
        format="yaml",
        values={
            ("extra_config", "disk_io_threads"): threads.in_flight,
            ("extra_config", "use_odirect"): True,
        },
        defaults={
            ("extra_config", "disk_io_threads"): 4,
            ("extra_config", "use_odirect"): False,
        },
        notes=tuple(notes),
    )
