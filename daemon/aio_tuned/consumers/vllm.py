"""vLLM's KV cache on a drive: the "fs" tier of TieringOffloadingSpec, in the JSON of --kv-transfer-config.

The tier stores each chunk of KV blocks in a file of its own, with threads of synchronous I/O (O_DIRECT if the
filesystem supports it, which vLLM tries at start). Each thread moves a whole file in one request, so the numbers of
threads are those of psync in the curves of reads and of writes, at the size of a chunk: 2 MiB unless --request-size
gives another one. That is one block of 16 tokens, the defaults of block_size and blocks_per_chunk, for a model of 32
layers with 8 heads of 128 values in 16 bits (Llama 3.1 8B).

- kv_connector, kv_role, kv_connector_extra_config.spec_name: required, because vLLM ignores the tiers under another
  spec or connector.
- kv_connector_extra_config.secondary_tiers: a list; the export sets the tier of type "fs" whose root_dir is the path.
  n_read_threads (16 by default) prefer loads to stores, n_write_threads (16) stores to loads: numbers of threads of
  each engine.
- cpu_bytes_to_use, in bytes, is not set: the user decides the host memory of the first tier. vLLM does not start
  without it.

vLLM does not have:

- block_size: vLLM's block_size and blocks_per_chunk count tokens and KV blocks; their bytes depend on the model.
- queue_depth, io_parallelism, single_submit, overlap_events: the numbers of threads replace them.

One thread handles all chunks of a request, so fewer requests than threads do not saturate the drive.

Without these curves the numbers are the saturating_concurrency of the read and write settings.

Checked with vllm 0.33.0, by running its spec on a CPU; the tier is in 0.22.0 and not in 0.21.0. Source:
vllm/v1/kv_offload/tiering (spec.py, fs/manager.py, fs/thread_pool.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Entry, Export, cap_ignored, need_folder, need_release
from aio_tuned.consumers.processes import shared_note
from aio_tuned.consumers.requests import KV_BLOCK, KV_BLOCK_BYTES, Usage, assumed_size, good_size, needed

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_EXTRA = "kv_connector_extra_config"
_READS, _WRITES = (
    Usage(
        direction=direction,
        engines=("psync",),
        usual_bytes=KV_BLOCK_BYTES,
        usual=KV_BLOCK,
    )
    for direction in ("read", "write")
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return a part of --kv-transfer-config with `path` as the tier's folder.

    Raise UsageError for a device, or for a release without the tier.
    """
    need_folder(path, "vLLM's tier")
    need_release(options, "vLLM", "0.22.0", '"fs" tier')
    tier = (_EXTRA, "secondary_tiers", Entry((("type", "fs"), ("root_dir", path))))
    size, assumed = assumed_size(drive, _READS, options)
    reads = needed(drive, _READS, size, "n_read_threads")
    writes = needed(drive, _WRITES, size, "n_write_threads")
    notes = [
        *assumed,
        *reads.notes,
        *writes.notes,
        "cpu_bytes_to_use: required; set it beside spec_name to the bytes of host memory for the first tier.",
        shared_note(drive, "read", "n_read_threads", "per engine"),
        shared_note(drive, "write", "n_write_threads", "per engine"),
        "queue_depth, overlap_events, single_submit: not in vLLM, whose threads have one request each.",
        f"block_size: counts tokens in vLLM; choose a blocks_per_chunk that makes about {_block_sizes(drive)} bytes.",
    ]
    notes += cap_ignored(options, "vLLM's files have the size of a chunk of KV blocks")
    return Export(
        format="json",
        values={
            ("kv_connector",): "OffloadingConnector",
            ("kv_role",): "kv_both",
            (_EXTRA, "spec_name"): "TieringOffloadingSpec",
            (*tier, "n_read_threads"): reads.in_flight,
            (*tier, "n_write_threads"): writes.in_flight,
        },
        notes=tuple(notes),
    )


def _block_sizes(drive: DriveSettings) -> str:
    """Return good sizes of a chunk for reads and writes in bytes, once if they are equal."""
    sizes = {good_size(drive, usage) or getattr(drive, usage.direction).block_size for usage in (_READS, _WRITES)}
    return " to ".join(map(str, sorted(sizes)))
