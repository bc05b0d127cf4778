"""TensorNVMe (of ColossalAI): keyword arguments of `tensornvme.DiskOffloader`, as JSON.

    DiskOffloader(directory, **json.load(open("tensornvme.json")))

It has no configuration file, and only two arguments besides the directory:

- n_entries (default 16) is the size of its one queue, in requests. An offloader is one thread that has all requests in
  flight, so n_entries is that of io_uring, the default backend, in the curves at the size of a tensor, the larger one
  of reads and writes: 16 MiB unless --request-size gives another size (2048 x 2048 values in 32 bits). It is an upper
  bound, because a tensor is one request. Without these curves it is the saturating_concurrency of the combined
  settings.
- backend ("uring" by default, "aio", and "pthread" in the sources after 0.1.0) is not set: it depends on how the
  package was built.

It has no block size (a request is a whole tensor), no overlap_events, no single_submit (each request is submitted
alone), and no number of threads except that of "pthread", which is n_entries too. It reads and writes through the page
cache. ColossalAI's own NVMeOptimizer always makes its offloader with 8
entries (colossalai/nn/optimizer/nvme_optimizer.py).

With the backend "aio" release 0.1.0 ignores errors of io_submit(2): tensors beyond the size of the kernel's queue
between two synchronize() are lost, and synchronize() hangs. The kernel rounds n_entries up.

Checked with 0.1.0 (the only release; built with libaio alone), and in the sources at 6403388 of November 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, release_ignored
from aio_tuned.consumers.requests import Usage, assumed_size, needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_USAGE = Usage(
    direction="combined",
    engines=("io_uring",),
    usual_bytes=16 << 20,
    usual="a tensor of 2048 x 2048 values in 32 bits",
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return keyword arguments for DiskOffloader; the caller adds its directory."""
    del path  # DiskOffloader takes its directory as a positional argument, from the caller
    size, assumed = assumed_size(drive, _USAGE, options)
    entries, _, notes = needed(drive, _USAGE, size, "n_entries")
    return Export(format="json", values={("n_entries",): entries}, notes=(*assumed, *notes, *_notes(entries, options)))


def _notes(entries: int, options: ExportOptions) -> Iterator[str]:
    if options.max_block_size is not None:
        yield "max_block_size: ignored, because TensorNVMe moves each tensor in one request."
    yield (
        f"n_entries: with backend='aio', call synchronize() after {entries} tensors at most; tensors beyond the queue"
        " are lost without an error."
    )
    yield (
        "n_entries: the only tunable of TensorNVMe, which uses the page cache and has no block_size, io_parallelism,"
        " overlap_events or single_submit; ColossalAI's NVMeOptimizer always uses 8."
    )
    yield from release_ignored(options, "TensorNVMe")
