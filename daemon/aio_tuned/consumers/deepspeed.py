"""DeepSpeed: the section "aio" of its JSON configuration (ZeRO-Infinity, ZeRO-Inference, DeepNVMe, FastPersist).

All five parameters have the same meaning as in aio-tuned: block_size in bytes, queue_depth in requests per thread,
intra_op_parallelism in threads, single_submit and overlap_events as JSON booleans (a string is refused when the handle
is made). They are the combined settings, because DeepSpeed reads and writes with the same ones.

- 0.3.15 is the first release that reads the section; before 0.16.4 the threads were called thread_count. A release
  ignores an unknown key silently, so each release gets its own key only.
- One section applies to the whole process, whatever the number of drives that it offloads to.
- use_gds is the user's choice and is not set. With it, cuFile's configuration determines the parallelism.
- Tensors of less than max(1 MiB, block_size) are not swapped to the drive.
- A handle refuses a transfer whose bytes are not a multiple of the threads (with a message and -1). A transfer whose
  parts are not multiples of the drive's logical block is reported as done although the kernel has refused it. The
  swappers pad to 1024 bytes per thread, whatever that block is; programs that use a handle directly must pad to the
  block themselves. Release 0.7.7, which FlexLLMGen brings along, loses data without an error if address or bytes are
  not multiples of the block: of 8 MiB at an address 64 bytes off, or of 100 bytes, nothing is in the file; of 8 MiB and
  100 bytes only the first 8 MiB are.
- Before 0.18.4, wait() holds the GIL while it waits: two handles in one process stalled in 4 of 4 runs (PR 7727). The
  rest of that error is corrected in 0.19.3 (PR 8196).
- With overlap_events = false, a queue's bytes (queue_depth * block_size) are computed in 32 bits. From 2 GiB on
  DeepSpeed moves more or less data than requested, and at 4 GiB it hangs. So the queue is kept below 2 GiB.

Checked with 0.19.8 by its own configuration class and operator, and in the sources of 0.3.14 to 0.3.16 and 0.16.3 to
0.16.5 (runtime/swap_tensor/constants.py, aio_config.py; csrc/aio).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.consumers.export import Export, cap_note, capped, is_older, need_release, size_ignored
from aio_tuned.consumers.processes import shared_note
from aio_tuned.model.setting import DEFAULT_SETTING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import ExportOptions, Key, Value
    from aio_tuned.model.setting import Setting
    from aio_tuned.reader import DriveSettings, Settings

_SMALLEST_SWAPPED = 1 << 20
_QUEUE_BYTES_LIMIT = 1 << 31
_UNALIGNED_NOTE = (
    "aio: if you use an aio_handle directly, align the address of a tensor to the drive's logical block, too: DeepSpeed"
    " 0.7.7 leaves an empty file at another address, and loses the end of a larger tensor of other bytes."
)
_DEADLOCK_NOTE = (
    "aio: before DeepSpeed 0.18.4, two handles in one process can deadlock in wait(), which holds Python's GIL while it"
    " waits; upgrade to DeepSpeed 0.19.3 or later."
)


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the section "aio" for the combined settings.

    Raise UsageError if the release is not valid or does not read the section, or if the cap is below 4096 bytes.
    """
    del path  # the section has no path and applies to all drives
    need_release(options, "DeepSpeed", "0.3.15", "section aio")
    threads_key = "thread_count" if is_older(options, "DeepSpeed", "0.16.4") else "intra_op_parallelism"
    settings = capped(drive.combined, options)
    depth = _queue_depth(settings)
    notes = [*cap_note("block_size", drive.combined, settings)]
    if depth < settings.queue_depth:
        notes.append(
            f"queue_depth: {depth} instead of {settings.queue_depth}; with overlap_events = false, DeepSpeed transfers"
            " wrong amounts of data once a queue holds 2 GiB."
        )
    return Export(
        format="json",
        values=_section(settings._replace(queue_depth=depth), threads_key),
        defaults=_section(DEFAULT_SETTING, threads_key),
        notes=(
            *notes,
            *_notes(settings, threads_key),
            *((_UNALIGNED_NOTE,) if threads_key == "thread_count" else ()),
            *((_DEADLOCK_NOTE,) if is_older(options, "DeepSpeed", "0.18.4") else ()),
            *((shared_note(drive, "combined", "queue_depth", "per rank"),) if drive.concurrency else ()),
            *size_ignored(options, "DeepSpeed splits its transfers into blocks"),
        ),
    )


def _section(setting: Settings | Setting, threads_key: str) -> dict[tuple[Key, ...], Value]:
    return {
        ("aio", "block_size"): setting.block_size,
        ("aio", "queue_depth"): setting.queue_depth,
        ("aio", threads_key): setting.io_parallelism,
        ("aio", "single_submit"): setting.single_submit,
        ("aio", "overlap_events"): setting.overlap_events,
    }


def _queue_depth(settings: Settings) -> int:
    if settings.overlap_events:
        return settings.queue_depth
    return min(settings.queue_depth, max(1, (_QUEUE_BYTES_LIMIT - 1) // settings.block_size))


def _notes(settings: Settings, threads_key: str) -> Iterator[str]:
    if settings.block_size > _SMALLEST_SWAPPED:
        yield (
            f"block_size: DeepSpeed does not swap tensors smaller than {settings.block_size} bytes with this value;"
            " --max-block-size lowers that limit, down to 1 MiB."
        )
    threads = settings.io_parallelism
    if threads & (threads - 1):
        yield (
            f"{threads_key}: DeepSpeed pads its own swaps; if you use an aio_handle directly, make each transfer a"
            f" multiple of {threads} times the drive's logical block size."
        )
    yield (
        "aio: if you use an aio_handle directly, pad tensors so that each thread's part is a multiple of the drive's"
        " logical block; else it reports them as written although the kernel has refused the write."
    )
    yield "aio: DeepSpeed applies this one section to all drives that a process uses."
