"""InstantTensor, which reads safetensors files into GPU memory (vLLM's --load-format instanttensor). It only reads.

    INSTANTTENSOR_IO_DEPTH      slots for chunks, of each rank            512 / ranks by default, 1 ... 1024
    INSTANTTENSOR_CHUNK_SIZE    bytes of one read, at most 1 GiB          8388608

A slot holds its chunk while it is read, then while it is copied to the GPU and, with several ranks, while the ranks
exchange it; the next chunk is read into it only after that. So the depth is twice the number of reads in flight: half
of the slots can be in the later stages while the others keep the drive saturated. (With 8 slots 4.9 reads were in
flight on average, with 16 slots 9.0.) It is at least 3, InstantTensor's own minimum, one for each stage. One thread
submits, so the number is that of io_uring, else libaio, in the curve of reads, at the size of a chunk: 8 MiB
(InstantTensor's default), a measured size near it that gives more throughput, or --request-size. Without these curves
it is the `saturating_concurrency` of the read settings, and the size is their block_size. There is no overlap_events or
single_submit.

Not set:

- INSTANTTENSOR_BACKEND: on disks the default is io_uring, else libaio, both with O_DIRECT; a value would also apply to
  files in tmpfs, which these two cannot read.
- INSTANTTENSOR_CONCURRENCY: threads of the MMAP and CUFILE backends; the others ignore it with a warning.
- INSTANTTENSOR_BUFFER_SIZE: GPU memory, by default chunk times depth times ranks or more. InstantTensor lowers the
  depth to what half of the free GPU memory holds. It refuses a buffer that is too small for a depth that is set.

Checked with release 0.2.2 without a GPU: with a stub of the CUDA runtime it loads a file with these slots and reads of
this size, byte for byte. Before release 0.2.0 the depth counted requests of each of several threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, need_release
from aio_tuned.consumers.processes import shared_note
from aio_tuned.consumers.requests import Usage, chunk, needed
from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

_DEPTH, _CHUNK = "INSTANTTENSOR_IO_DEPTH", "INSTANTTENSOR_CHUNK_SIZE"
_MIN_SLOTS, _MAX_SLOTS = 3, 1024
_MAX_CHUNK = 1 << 30
_USAGE = Usage(direction="read", engines=("io_uring", "libaio"), usual_bytes=8 << 20, usual=f"the default of {_CHUNK}")
_NOTES = (
    f"INSTANTTENSOR_BUFFER_SIZE: leave it unset, or set at least {_CHUNK} times {_DEPTH} times the number of ranks.",
    "overlap_events, single_submit: not in InstantTensor.",
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return InstantTensor's variables for the drive.

    Raise UsageError for a release before 0.2.0, or for a size that chunk() or InstantTensor refuses.
    """
    del path
    need_release(options, "InstantTensor", "0.2.0", f"{_DEPTH} for one thread")
    size, size_notes = chunk(drive, _USAGE, options, _CHUNK)
    if size > _MAX_CHUNK:
        raise UsageError(f"--request-size {size}: above InstantTensor's largest read; pass {_MAX_CHUNK} or less")
    reads, _, depth_notes = needed(drive, _USAGE, size, _DEPTH)
    slots = min(max(2 * reads, _MIN_SLOTS), _MAX_SLOTS)
    copies = "because a slot also holds its chunk while it is copied to the GPU"
    return Export(
        format="env",
        values={(_DEPTH,): slots, (_CHUNK,): size},
        notes=(
            *size_notes,
            *depth_notes,
            f"{_DEPTH}: {slots} slots for {reads} reads in flight, {copies}.",
            shared_note(drive, "read", _DEPTH, "per rank"),
            *_NOTES,
        ),
    )
