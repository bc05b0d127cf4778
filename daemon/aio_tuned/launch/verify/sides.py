"""The two sides of a comparison: what each driver is told, and what it is then expected to do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aio_tuned.consumers import fio
from aio_tuned.errors import UsageError
from aio_tuned.launch.verify.effect import Asked
from aio_tuned.model.setting import DEFAULT_SETTING, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.consumers.export import Export, Value
    from aio_tuned.model.setting import Direction

Name = Literal["default", "ours"]
NAMES: tuple[Name, Name] = ("default", "ours")
DIRECTIONS: tuple[Direction, Direction] = ("read", "write")

_MIB = 1 << 20
# Enough for 30 pairs of writes within 8 GiB, and for all requests in flight at the settings that were measured.
_TRANSFER_BYTES = 128 * _MIB
_CHUNK_BYTES = 32 * _MIB
# LMCache moves whole chunks, a thread each.
_CHUNKS_BYTES = 8 * _CHUNK_BYTES
# A thread's part that DeepSpeed's handle takes on any drive.
_PART_BYTES = 4096
_READ_MS = 500

_Values = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side: the values for its driver, the variables of its process, and what it must be seen to do."""

    values: _Values
    asked: Mapping[Direction, Asked]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both sides, and the bytes that each transfer moves; `driver` does the I/O in a file that is `filled`, or not."""

    default: Side
    ours: Side
    driver: str
    transfer_bytes: int
    filled: bool = True

    def side(self, name: Name) -> Side:
        """Return one side by its name."""
        return self.default if name == "default" else self.ours


def flat(values: Mapping[Any, Value]) -> _Values:
    """Return values by dotted keys."""
    return {".".join(map(str, path)): value for path, value in values.items()}


class SameSettingsError(UsageError):
    """The exported settings are the consumer's own default, so there is nothing to compare."""


def make(consumer: str, made: Export, span_bytes: int, *, stand_in: bool = False) -> Sides:
    """Return the sides of a consumer for its export; `stand_in` has fio make the same requests.

    Raise SameSettingsError if they are the same, and UsageError if the export cannot be compared, or if less than a
    transfer fits into `span_bytes`.
    """
    if not made.defaults:
        raise UsageError(f"{consumer}: its export has nothing to compare; measure reads and writes with aio-tuned tune")
    ours = flat({path: value for path, value in made.values.items() if path in made.defaults})
    default = flat(made.defaults)
    if ours == default:
        raise SameSettingsError(f"{consumer}: the exported settings are its own default; there is nothing to compare")
    if consumer == "fio" or stand_in:
        return _fio(consumer, default, ours, span_bytes)
    if consumer == "deepspeed":
        threads = [_threads(each) for each in (default, ours)]
        size = _size(_TRANSFER_BYTES, span_bytes, math.lcm(*threads) * _PART_BYTES)
        first, second = (Side(values=each, asked=_deepspeed_asked(each)) for each in (default, ours))
        return Sides(default=first, ours=second, driver=consumer, transfer_bytes=size)
    if consumer == "kvikio":
        size = _size(_TRANSFER_BYTES, span_bytes, _MIB)
        variables = {name: str(value) for name, value in ours.items()}
        return Sides(
            # The default is what KvikIO does without the variables.
            default=Side(values=default, asked=_kvikio_asked(default, size)),
            ours=Side(values=ours, asked=_kvikio_asked(ours, size), environment=variables),
            driver=consumer,
            transfer_bytes=size,
        )
    # Each side keeps chunks of its own.
    size = _size(_CHUNKS_BYTES, span_bytes // len(NAMES), _CHUNK_BYTES)
    first, second = (Side(values=each, asked=_lmcache_asked(each, size)) for each in (default, ours))
    # LMCache removes a chunk and writes another file, so no file is filled before.
    return Sides(default=first, ours=second, driver=consumer, transfer_bytes=size, filled=False)


def _size(wanted: int, span_bytes: int, unit: int) -> int:
    size = min(wanted, span_bytes) // unit * unit
    if not size:
        raise _too_little(span_bytes)
    return size


def _too_little(span_bytes: int) -> UsageError:
    return UsageError(f"{span_bytes >> 20} MiB: too little space for a transfer; free some space on the filesystem")


def _both(asked: Asked) -> Mapping[Direction, Asked]:
    return {"read": asked, "write": asked}


def _threads(values: _Values) -> int:
    return int(values.get("aio.intra_op_parallelism") or values["aio.thread_count"])


def _deepspeed_asked(values: _Values) -> Mapping[Direction, Asked]:
    return _both(Asked(threads=_threads(values), depth=values["aio.queue_depth"], direct=True))


def _kvikio_asked(values: _Values, size: int) -> Mapping[Direction, Asked]:
    threads = min(values["KVIKIO_NTHREADS"], max(1, size // values["KVIKIO_TASK_SIZE"]))
    return {
        direction: Asked(
            threads=threads, depth=None, direct=bool(values.get(f"KVIKIO_AUTO_DIRECT_IO_{direction.upper()}"))
        )
        for direction in DIRECTIONS
    }


def _lmcache_asked(values: _Values, size: int) -> Mapping[Direction, Asked]:
    threads = min(values["extra_config.disk_io_threads"], size // _CHUNK_BYTES)
    return _both(Asked(threads=threads, depth=None, direct=values["extra_config.use_odirect"]))


# --- fio ----------------------------------------------------------------------------------------------------


def _fio(consumer: str, default: _Values, ours: _Values, span_bytes: int) -> Sides:
    size = _size(_TRANSFER_BYTES, span_bytes, _MIB)
    jobs: list[dict[Direction, _Values]] = [
        {direction: _job(consumer, values, direction, size) for direction in DIRECTIONS} for values in (default, ours)
    ]
    # Each thread has a block at least, so the file may have to be larger than the wanted size.
    file_bytes = max(job["filesize"] for each in jobs for job in each.values())
    if file_bytes > span_bytes:
        raise _too_little(span_bytes)
    for job in (job for each in jobs for job in each.values()):
        job["filesize"] = file_bytes
    first, second = (
        Side(values=dict(each.items()), asked={direction: _job_asked(job) for direction, job in each.items()})
        for each in jobs
    )
    return Sides(default=first, ours=second, driver="fio", transfer_bytes=file_bytes)


def _job(consumer: str, values: _Values, direction: Direction, size: int) -> _Values:
    """Return fio's options for one direction: all threads move one file, each its own part."""
    shape = _SHAPES[consumer](values, direction)
    part = max(1, size // shape["numjobs"] // shape["bs"]) * shape["bs"]
    job = {"rw": direction, "thread": 1, "group_reporting": 1, "overwrite": 1, **shape}
    job |= {"size": part, "offset_increment": part, "filesize": part * shape["numjobs"]}
    if not job["direct"] and direction == "write":
        job["end_fsync"] = 1
    return job | ({"time_based": 1, "runtime": f"{_READ_MS}ms"} if direction == "read" and job["direct"] else {})


def _job_asked(job: _Values) -> Asked:
    depth = job["iodepth"] if job["ioengine"] == "libaio" else None
    return Asked(threads=job["numjobs"], depth=depth, direct=bool(job["direct"]))


def _own_shape(values: _Values, direction: Direction) -> _Values:
    found = {name: values.get(f"aio-tuned-{direction}.{name}") for name in fio.requests(DEFAULT_SETTING)}
    if None in found.values():
        raise UsageError(f"fio: {direction}s were not measured; run aio-tuned tune without --read-only")
    return {"ioengine": "libaio", "direct": 1, **found}


def _deepspeed_shape(values: _Values, direction: Direction) -> _Values:
    del direction
    setting = Setting(
        block_size=values["aio.block_size"],
        queue_depth=values["aio.queue_depth"],
        io_parallelism=_threads(values),
        overlap_events=values["aio.overlap_events"],
        single_submit=values["aio.single_submit"],
    )
    return {"ioengine": "libaio", "direct": 1, **fio.requests(setting)}


def _kvikio_shape(values: _Values, direction: Direction) -> _Values:
    direct = int(values.get(f"KVIKIO_AUTO_DIRECT_IO_{direction.upper()}", 0))
    return {
        "ioengine": "psync",
        "direct": direct,
        "bs": values["KVIKIO_TASK_SIZE"],
        "numjobs": values["KVIKIO_NTHREADS"],
    }


def _lmcache_shape(values: _Values, direction: Direction) -> _Values:
    del direction
    return {
        "ioengine": "psync",
        "direct": int(values["extra_config.use_odirect"]),
        "bs": _CHUNK_BYTES,
        "numjobs": values["extra_config.disk_io_threads"],
    }


_SHAPES = {
    "fio": _own_shape,
    "deepspeed": _deepspeed_shape,
    "kvikio": _kvikio_shape,
    "lmcache": _lmcache_shape,
}
