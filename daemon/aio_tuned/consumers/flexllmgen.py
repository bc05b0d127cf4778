"""FlexLLMGen: its DeepSpeed's section "aio", the copy threads of its own offload, and the disk of its cost model.

It reads no file: all three are in its Python code. So the JSON has a table for each, with the names of their arguments
(docs/how-to/flexllmgen.md shows where they go in):

- aio: for ds_config["aio"] of benchmark/hf_ds/hf_opt.py, which has DeepSpeed's defaults. The DeepSpeed beside it is
  0.7.7, whose threads are thread_count; see the consumer deepspeed for the rest.
- TorchDisk.num_copy_threads (4): for TorchDisk(…) of flexllmgen/flex_opt.py. Each thread copies from and to files that
  are mapped into memory, so the kernel reads ahead of each: pieces of queue/read_ahead_kb (128 KiB by default) or less,
  one at a time. The number is that of psync in the curve of reads at this size, or at --request-size for another
  read_ahead_kb. The kernel, not these threads, writes the pages back. Each thread pins 2 GiB of memory for its copies,
  so the number is 16 at most.
- CostModelConfig.dtoc_bdw, ctod_bdw_cache_p, ctod_bdw_hidden_p, ctod_bdw_g: for experimental/cost_model.py, bytes/s
  from the disk and to it. They are the throughput of those reads, and that of the write settings: what the drive gives,
  so an upper bound for sustained transfers (short writes may be faster, because the page cache takes them).
  FlexLLMGen fits them to its own runs, with one rate for each kind of transfer. Unmeasured rates are left out.

TorchDisk has no block size, no queue and no O_DIRECT. The handle of DeepSpeed 0.7.7 reports a tensor as written whose
address or bytes are not multiples of the logical block, but its file is empty or lacks the end.

Checked with DeepSpeed 0.7.7: its configuration class and its operator, built for torch 2.13.0 on a CPU. FlexLLMGen's
copy of it differs in the spelling of O_DIRECT. In FlexLLMGen's sources at 004ffef of October 2024: hf_opt.py,
flex_opt.py, pytorch_backend.py and cost_model.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.consumers import deepspeed
from aio_tuned.consumers.export import Export, need_folder, release_ignored
from aio_tuned.consumers.requests import Usage, assumed_size, needed
from aio_tuned.reader.requests import pick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import ExportOptions
    from aio_tuned.reader import DriveSettings

DEEPSPEED = "0.7.7"
_USAGE = Usage(
    direction="read", engines=("psync",), usual_bytes=128 << 10, usual="the kernel's default of read_ahead_kb"
)
_PINNED_BYTES = 2 << 30
_MOST_THREADS = 16
_READ_RATES = ("dtoc_bdw",)
_WRITE_RATES = ("ctod_bdw_cache_p", "ctod_bdw_hidden_p", "ctod_bdw_g")


def export(drive: DriveSettings, path: str, options: ExportOptions) -> Export:
    """Return the three tables; `path` is the folder to offload to.

    Raise UsageError for a device, a cap below 4096 bytes, or a release that is not valid.
    """
    need_folder(path, "FlexLLMGen")
    section = deepspeed.export(drive, path, replace(options, for_version=DEEPSPEED, request_bytes=None))
    size, assumed = assumed_size(drive, _USAGE, options)
    wanted, _, notes = needed(drive, _USAGE, size, "num_copy_threads")
    threads = min(wanted, _MOST_THREADS)
    rates = [*_rates(_READ_RATES, _read_rate(drive, size)), *_rates(_WRITE_RATES, _write_rate(drive))]
    return Export(
        format="json",
        values={
            **section.values,
            ("TorchDisk", "num_copy_threads"): threads,
            **{("CostModelConfig", name): rate for name, rate in rates},
        },
        notes=(
            *section.notes,
            *assumed,
            *notes,
            _about_memory(threads, wanted),
            *_about_rates({name for name, _ in rates}),
            *release_ignored(options, "FlexLLMGen"),
        ),
    )


def _about_memory(threads: int, wanted: int) -> str:
    pinned = f"{formatting.amount(threads * _PINNED_BYTES)} of pinned memory, 2 GiB for each thread"
    if threads < wanted:
        return f"num_copy_threads: {threads} instead of {wanted}, because of the {pinned}."
    return f"num_copy_threads: {pinned}."


def _read_rate(drive: DriveSettings, request_bytes: int) -> int | None:
    """Return the measured throughput of reads in bytes/s; None without any."""
    found = pick(drive.curves, request_bytes, "read", "psync")
    if found:
        return found.throughput_bytes_per_s
    return drive.read.throughput_bytes_per_s if drive.read.source.section == "read" else None


def _write_rate(drive: DriveSettings) -> int | None:
    """Return the measured throughput of the write settings in bytes/s; None if they are those of reads."""
    return drive.write.throughput_bytes_per_s if drive.write.source.section == "write" else None


def _rates(names: tuple[str, ...], rate: int | None) -> Iterator[tuple[str, int]]:
    if rate is not None:
        yield from ((name, rate) for name in names)


def _about_rates(known: set[str]) -> Iterator[str]:
    if known:
        named = ", ".join(sorted(known))
        yield f"{named}: bytes/s that the drive gives; FlexLLMGen fits its own rates, which may be lower."
    if unknown := [name for name in (*_READ_RATES, *_WRITE_RATES) if name not in known]:
        yield f"{', '.join(unknown)}: not set, because the profile has no figure; a new sweep measures it."
