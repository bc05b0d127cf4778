"""LMCache's multiprocess server on a drive: the JSON of its option --l2-adapter.

    lmcache server … --l2-adapter "$(aio-tuned export lmcache_server /mnt/nvme/cache)"

The server stores each chunk of tokens as one object, 32 MiB unless --request-size gives another size: 256 tokens, the
default of --chunk-size, of a model of 32 layers with 8 heads of 128 values in 16 bits (Llama 3.1 8B). For a folder the
export is the adapter fs_native, which has a file for each object:

- num_workers: threads of synchronous I/O, 4 by default, for reads and writes together. Each moves a whole file in one
  request, so the number is that of psync in the curves, the larger one of reads and writes.
- use_odirect: a boolean, false by default. The drive was measured with O_DIRECT.

For a path in /dev the export is the adapter raw_block, which writes objects into slots of a drive without a filesystem,
and so destroys what is on it:

- io_engine: "io_uring"; "posix" by default, where each of num_load_workers (4) or num_store_workers (2) threads has one
  request in flight.
- iouring_queue_depth: requests in flight, 256 by default, of the one ring of all these threads. They are those of
  io_uring in the curves, the larger number of reads and writes.
- slot_bytes is not set, because its bytes depend on the model; the server refuses an adapter without it.

Neither has single_submit or overlap_events. max_capacity_gb and eviction, and so how large the cache may grow, are for
the user. Without these curves the numbers are the saturating_concurrency of the combined settings. Checked with lmcache
0.5.6, by running its adapters on a CPU; fs_native is in 0.4.4 and not in 0.4.1, raw_block in 0.5.0 and not in 0.4.4.
raw_block also needs the package lmcache-rust-raw-block-io. Source: lmcache/v1/distributed/l2_adapters
(fs_native_l2_adapter.py, raw_block_l2_adapter.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from aio_tuned.consumers.export import ALIGNMENT, Export, cap_ignored, need_release
from aio_tuned.consumers.processes import shared_note
from aio_tuned.consumers.requests import KV_CHUNK, KV_CHUNK_BYTES, Usage, assumed_size, good_size, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions, Key, Value
    from aio_tuned.reader import DriveSettings

_NAME = "LMCache"
_FILES = Usage(
    direction="combined",
    engines=("psync",),
    usual_bytes=KV_CHUNK_BYTES,
    usual=KV_CHUNK,
)
_SLOTS = replace(_FILES, engines=("io_uring",))


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return an adapter for the folder or device; raise UsageError for a release without that adapter."""
    raw = PurePosixPath(path).is_relative_to("/dev")
    usage = _SLOTS if raw else _FILES
    size, assumed = assumed_size(drive, usage, options)
    values, notes = (_raw_block if raw else _fs_native)(drive, path, size, options)
    good = good_size(drive, usage) or drive.combined.block_size
    return Export(
        format="json",
        values=values,
        notes=(
            *assumed,
            *notes,
            "overlap_events, single_submit: not in LMCache.",
            f"block_size: not in LMCache; choose a --chunk-size (tokens) that makes about {good} bytes.",
            *cap_ignored(options, "LMCache's objects have the size of a chunk of tokens"),
        ),
    )


_Part = tuple["dict[tuple[Key, ...], Value]", tuple[str, ...]]


def _fs_native(drive: DriveSettings, path: str, size: int, options: ExportOptions) -> _Part:
    """Return the values and notes of the adapter that stores files."""
    need_release(options, _NAME, "0.4.4", 'adapter "fs_native"')
    workers = needed(drive, _FILES, size, "num_workers")
    return {
        ("type",): "fs_native",
        ("base_path",): path,
        ("num_workers",): workers.in_flight,
        ("use_odirect",): True,
    }, (
        *workers.notes,
        shared_note(drive, "combined", "num_workers", "per server"),
        "max_capacity_gb: set it and eviction to limit the size of the cache.",
    )


def _raw_block(drive: DriveSettings, path: str, size: int, options: ExportOptions) -> _Part:
    """Return the values and notes of the adapter that stores slots of a drive."""
    need_release(options, _NAME, "0.5.0", 'adapter "raw_block"')
    depth = needed(drive, _SLOTS, size, "iouring_queue_depth")
    return {
        ("type",): "raw_block",
        ("device_path",): path,
        ("use_odirect",): True,
        ("io_engine",): "io_uring",
        ("iouring_queue_depth",): depth.in_flight,
    }, (
        f"device_path: LMCache overwrites {path}; a filesystem on it is destroyed.",
        *depth.notes,
        shared_note(drive, "combined", "iouring_queue_depth", "per server"),
        f"slot_bytes: required; set it to the bytes of a chunk and {ALIGNMENT} more, a multiple of {ALIGNMENT}.",
    )
