"""SGLang's hierarchical cache on a drive through NIXL: the TOML of --hicache-storage-backend-extra-config @FILE.toml.

For --hicache-storage-backend nixl. SGLang passes the table of the plugin to NIXL, each value as a string:

- plugin.posix.active: a boolean. SGLang takes the file's first plugin that is active, and fails if none is.
- plugin.posix.use_aio, use_uring, use_posix_aio, kernel_queue_size: NIXL's, see nixl.py; strings, as in SGLang's
  sample.
- use_direct_io: a boolean at the top of the file, true by default unless SGLANG_HICACHE_NIXL_USE_DIRECT_IO says
  otherwise. The drive was measured with O_DIRECT.

The folder is no key of the file: it is the environment variable SGLANG_HICACHE_NIXL_BACKEND_STORAGE_DIR.

What SGLang does not have: block_size (a page of the cache is one request; --page-size counts tokens, whose bytes
depend on the model), and what NIXL does not have: single_submit, overlap_events, io_parallelism.

Takes the drive's combined settings: each rank has one NIXL agent, for reads and for writes. Checked with sglang
0.5.23 and nixl 1.5.1, by running SGLang's NIXL configuration, its backend and its file registry on a CPU; SGLang
reads the file itself with tomllib, which was checked in its source only. use_direct_io is in 0.5.13 and not in
0.5.12. Source: sglang/srt/mem_cache/storage/nixl (nixl_utils.py, nixl.config.toml.sample, README.md) and
sglang/srt/mem_cache/hybrid_cache/hybrid_cache_controller.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, Key, Value, cap_ignored, need_folder, need_release
from aio_tuned.consumers.nixl import posix_parameters, queue_notes

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return a part of the extra configuration's TOML.

    Raise UsageError for a device, or for a release without use_direct_io.
    """
    need_folder(path, "SGLang's cache")
    need_release(options, "SGLang", "0.5.13", "use_direct_io")
    settings = drive.combined
    notes = [
        *queue_notes(settings),
        f"SGLANG_HICACHE_NIXL_BACKEND_STORAGE_DIR: set this environment variable to {path}, or to a folder below it.",
        "plugin.posix.active: SGLang takes the file's first active plugin; none may be active above this one.",
        "kernel_queue_size: for each rank; where several use the drive at once, divide by their number.",
        f"block_size: SGLang's requests are pages; choose a --page-size of about {settings.block_size} bytes.",
    ]
    notes += cap_ignored(options, "SGLang's requests have the size of its cache's pages")
    values: dict[tuple[Key, ...], Value] = {("use_direct_io",): True, ("plugin", "posix", "active"): True}
    values |= {("plugin", "posix", name): value for name, value in posix_parameters(settings).items()}
    return Export(format="toml", values=values, notes=tuple(notes))
