"""SGLang's hierarchical cache on a drive through NIXL: the TOML of --hicache-storage-backend-extra-config @FILE.toml.

This is for --hicache-storage-backend nixl. SGLang passes the table of the plugin to NIXL, each value as a string:

- plugin.posix.active: a boolean. SGLang takes the first active plugin of the file, and fails without one.
- plugin.posix.use_aio, use_uring, use_posix_aio, kernel_queue_size: NIXL's, see nixl.py; strings, as in SGLang's
  sample. The number is for requests of 4 MiB unless --request-size gives another size: the keys or the values of a page
  of 64 tokens (--page-size in SGLang's examples) of a model of 32 layers with 8 heads of 128 values in 16 bits (Llama
  3.1 8B), which are a file each.
- use_direct_io: a boolean at the top of the file, true by default unless SGLANG_HICACHE_NIXL_USE_DIRECT_IO sets
  another value. The drive was measured with O_DIRECT.

The folder is not a key of the file, but the environment variable SGLANG_HICACHE_NIXL_BACKEND_STORAGE_DIR.

SGLang has no block_size (the keys or the values of a page are one request; --page-size counts tokens, whose bytes
depend on the model), and like NIXL no single_submit, overlap_events or io_parallelism.

Each rank has one NIXL agent for reads and writes. Checked with
sglang 0.5.23 and nixl 1.5.1, by running SGLang's NIXL configuration, its backend and its file registry on a CPU; that
SGLang reads the file itself with tomllib was checked in its source only. use_direct_io is in 0.5.13 and not in
0.5.12. Source: sglang/srt/mem_cache/storage/nixl (nixl_utils.py, nixl.config.toml.sample, README.md) and
sglang/srt/mem_cache/hybrid_cache/hybrid_cache_controller.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, Key, Value, cap_ignored, need_folder, need_release
from aio_tuned.consumers.nixl import parameter_notes, posix_parameters, queue_for
from aio_tuned.consumers.processes import shared_note
from aio_tuned.consumers.requests import Usage, assumed_size, good_size

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_USAGE = Usage(
    direction="combined",
    engines=("libaio", "io_uring"),
    usual_bytes=4 << 20,
    usual="half a page of 64 tokens of an 8B model in 16 bits",
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return a part of the extra configuration's TOML.

    Raise UsageError for a device, or for a release without use_direct_io.
    """
    need_folder(path, "SGLang's cache")
    need_release(options, "SGLang", "0.5.13", "use_direct_io")
    size, assumed = assumed_size(drive, _USAGE, options)
    queue = queue_for(drive, _USAGE, size)
    good = good_size(drive, _USAGE) or drive.combined.block_size
    notes = [
        *assumed,
        *queue.notes,
        *parameter_notes(drive.combined),
        f"SGLANG_HICACHE_NIXL_BACKEND_STORAGE_DIR: set this environment variable to {path}, or to a folder below it.",
        "plugin.posix.active: SGLang uses the first active plugin of the file, so make no plugin above it active.",
        shared_note(drive, "combined", "kernel_queue_size", "per rank"),
        f"block_size: not in SGLang; choose a --page-size (tokens) that makes requests of about {good} bytes.",
    ]
    notes += cap_ignored(options, "SGLang's requests have the size of its cache's pages")
    values: dict[tuple[Key, ...], Value] = {("use_direct_io",): True, ("plugin", "posix", "active"): True}
    values |= {("plugin", "posix", name): value for name, value in posix_parameters(queue.in_flight).items()}
    return Export(format="toml", values=values, notes=tuple(notes))
