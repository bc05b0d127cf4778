"""TensorNVMe (of ColossalAI): keyword arguments of `tensornvme.DiskOffloader`, as JSON.

    DiskOffloader(directory, **json.load(open("tensornvme.json")))

It has no configuration file; these two are all the arguments there are besides the directory:

- n_entries (default 16) is the size of its one queue, in requests. An offloader is one thread that has all requests in
  flight, so it gets what saturates the drive over all threads. It is an upper bound only: a tensor is one request.
- backend ("uring" by default, "aio", and "pthread" in the sources after 0.1.0) is not set: it depends on how the
  package was built.

There is no block size (a request is a whole tensor), no overlap_events, no single_submit (each request is submitted
alone), no number of threads but "pthread"'s, which is n_entries too, and no O_DIRECT: the page cache is between it and
the drive. The settings are those for consumers that take one. ColossalAI's own NVMeOptimizer makes its offloader with 8
entries, whatever a configuration says (colossalai/nn/optimizer/nvme_optimizer.py).

With the backend "aio" release 0.1.0 looks at no error of io_submit(2): more tensors between two synchronize() than the
kernel's queue has room for are lost, and synchronize() waits for ever. The kernel rounds n_entries up.

Checked with 0.1.0 (the only release; built with libaio alone), and in the sources at 6403388 of November 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, release_ignored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return keyword arguments for DiskOffloader, for the combined settings; the caller adds its directory."""
    del path  # DiskOffloader takes its directory as a positional argument, from the caller
    entries = drive.combined.saturating_concurrency
    return Export(format="json", values={("n_entries",): entries}, notes=tuple(_notes(entries, options)))


def _notes(entries: int, options: ExportOptions) -> Iterator[str]:
    if options.max_block_size is not None:
        yield "max_block_size: not used: TensorNVMe moves a tensor in one request, and has no block size."
    yield (
        f"n_entries: with backend='aio', call synchronize() at the latest after {entries} tensors: what exceeds the"
        " queue is lost without an error."
    )
    yield (
        "n_entries: all that TensorNVMe can be told; it goes through the page cache, and block size, threads, overlap"
        " and submission have no parameter. ColossalAI's NVMeOptimizer always uses 8."
    )
    yield from release_ignored(options, "TensorNVMe")
