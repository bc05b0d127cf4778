"""What a consumer with its settings for a drive asks of the host; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export
    from aio_tuned.model.measurement import Engine
    from aio_tuned.reader import DriveSettings, Settings

# Without a consumer, the host is held against the one that takes all five parameters.
ALL_PARAMETERS = "deepspeed"
_DEEPSPEED = ("deepspeed", "flexllmgen")  # whose I/O is that of DeepSpeed's handles
_LIBAIO = ("deepspeed", "dynamo", "env", "fio", "flexllmgen", "json", "nixl", "sglang")
IO_URING = ("flexkv", "instanttensor", "mooncake", "runai", "tensornvme")
# The keys of the exports that hold the size of a request, the requests in flight of a thread, and the threads.
_SIZE_KEYS = ("block_size", "bs", "KVIKIO_TASK_SIZE", "RUNAI_STREAMER_FS_CHUNK_BYTESIZE", "INSTANTTENSOR_CHUNK_SIZE")
_SIZE_KEYS_KIB = ("max_direct_io_size_kb",)
_DEPTH_KEYS = (
    "queue_depth",
    "iodepth",
    "iouring_queue_depth",
    "RUNAI_STREAMER_FS_QUEUE_DEPTH",
    "kernel_queue_size",
    "n_entries",
)
_THREADS_KEYS = ("intra_op_parallelism", "thread_count", "numjobs", "KVIKIO_NTHREADS", "max_io_threads")
# Slots for chunks; half of them are being read.
_SLOTS_KEYS = ("INSTANTTENSOR_IO_DEPTH",)
# DeepSpeed's swappers hold a handle for reads and one for writes; a handle has a context, and one for each thread.
_HANDLES = 2
# MOONCAKE_OFFLOAD_LOCAL_BUFFER_SIZE_BYTES, which it registers with io_uring.
_MOONCAKE_BUFFER_BYTES = 1280 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The I/O of one process of a consumer: bytes of a request, requests in flight of a thread, and threads.

    `events` are the AIO events that the process reserves, `locked_bytes` the least memory that it locks.
    """

    consumer: str
    engine: Engine
    request_bytes: int
    queue_depth: int
    threads: int
    events: int = 0
    locked_bytes: int = 0


def make_need(consumer: str, drive: DriveSettings, export: Export) -> Need:
    """Return the need of a consumer from its export, and from the combined settings what the export lacks."""
    engine = _engine(consumer, export)
    settings = drive.combined
    depth, threads = _in_flight(engine, settings, export)
    size = _value(export, _SIZE_KEYS) or (_value(export, _SIZE_KEYS_KIB) or 0) << 10 or settings.block_size
    events = depth * (_HANDLES * (threads + 1) if consumer in _DEEPSPEED else threads)
    return Need(
        consumer=consumer,
        engine=engine,
        request_bytes=size,
        queue_depth=depth,
        threads=threads,
        events=events if engine == "libaio" else 0,
        locked_bytes=_locked_bytes(consumer, engine, size * depth * threads),
    )


def _in_flight(engine: Engine, settings: Settings, export: Export) -> tuple[int, int]:
    """Return the requests in flight of a thread, and the threads.

    A consumer with a queue of its own submits from one thread. FlexKV and Mooncake have rings of at least 512 and of 32
    entries, whatever the drive: they need the requests that saturate the drive. One without a queue has a thread for
    each of these.
    """
    threads = _value(export, _THREADS_KEYS)
    if engine == "psync":
        return 1, threads or settings.saturating_concurrency
    depth = _value(export, _DEPTH_KEYS)
    slots = _value(export, _SLOTS_KEYS)
    if slots is not None:
        depth = max(1, slots // 2)
    if depth is not None:
        return depth, threads or 1
    if engine == "io_uring":
        return settings.saturating_concurrency, 1
    return settings.queue_depth, settings.io_parallelism


def _engine(consumer: str, export: Export) -> Engine:
    if "io_uring" in export.values.values():
        return "io_uring"  # LMCache's server on a device
    if consumer == "mooncake" and "true" not in map(str, export.values.values()):
        return "psync"  # its ring is off
    if consumer in IO_URING:
        return "io_uring"
    return "libaio" if consumer in _LIBAIO else "psync"


def _locked_bytes(consumer: str, engine: Engine, in_flight_bytes: int) -> int:
    """Return the least memory that a process of the consumer locks.

    DeepSpeed's handle locks tensors that the caller sizes; smaller ones than the bytes in flight cannot fill the queue.
    """
    if consumer in _DEEPSPEED:
        return in_flight_bytes
    return _MOONCAKE_BUFFER_BYTES if consumer == "mooncake" and engine == "io_uring" else 0


def _value(export: Export, names: tuple[str, ...]) -> int | None:
    """Return the largest value of the keys with these names; None if the export has none."""
    found = [int(str(value)) for path, value in export.values.items() if path[-1] in names and str(value).isdecimal()]
    return max(found, default=None)
