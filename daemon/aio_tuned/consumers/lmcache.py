"""LMCache's cache on local disks: the YAML of LMCACHE_CONFIG_FILE.

LMCache stores each chunk of tokens in a file of its own, with threads of synchronous I/O. One request in flight per
thread, so the thread count is the requests in flight that it takes to get all of the drive: saturating_concurrency.

- extra_config.disk_io_threads: threads, 4 by default, for each worker (one per GPU): as many for reads, and as many
  again for writes and prefetches, of which no more than Python's default executor has run at a time (min(32, CPUs +
  4)). local_disk reads it, and gds_path too.
- extra_config.use_odirect: a boolean, false by default. The drive was measured with O_DIRECT. LMCache uses it for
  files whose size is a multiple of the filesystem's block, and the page cache for others.

local_disk, a list of folders parted by commas, and max_local_disk_size, in GiB, are not given: the user decides where
the cache is and how large it may grow. Without both there is no such cache, and nothing but gds_path reads
these keys.

What LMCache does not have for files:

- block_size: chunk_size counts tokens; their bytes depend on the model.
- queue_depth, io_parallelism, single_submit, overlap_events: the thread count stands for them all.

Not for a path on a filesystem, and so not here: rust_raw_block.* (a whole drive without a filesystem). NIXL storage
in LMCache (extra_config.enable_nixl_storage) takes NIXL's own parameters, see nixl.py. The server of LMCache's
multiprocess mode reads no such file; it gets its storage on its command line.

Takes the drive's combined settings: there is one number for both directions. Checked with lmcache 0.5.6, by running
its storage on a CPU; disk_io_threads is in 0.5.1 and not in 0.5.0. Source: lmcache/v1 (config.py,
storage_backend/local_disk_backend.py, storage_backend/job_executor/pq_executor.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_ignored, need_folder, need_release

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return a part of LMCache's YAML; raise UsageError for a device, or for a release without disk_io_threads."""
    need_folder(path, "LMCache's disk")
    need_release(options, "LMCache", "0.5.1", "disk_io_threads")
    settings = drive.combined
    notes = [
        f"local_disk: set it to {path} or a folder below, and max_local_disk_size above 0 GiB, or no disk is used.",
        "disk_io_threads: for each worker; where several use the drive at once, divide by their number.",
        "queue_depth, overlap_events, single_submit: LMCache has none, its threads do one request each at a time.",
        f"block_size: LMCache's files are chunks of chunk_size tokens; make them about {settings.block_size} bytes.",
        "nixl_backend_params: for LMCache's NIXL storage put there what the nixl export gives.",
    ]
    notes += cap_ignored(options, "LMCache's files have the size of a chunk of tokens")
    return Export(
        format="yaml",
        values={
            ("extra_config", "disk_io_threads"): settings.saturating_concurrency,
            ("extra_config", "use_odirect"): True,
        },
        notes=tuple(notes),
    )
