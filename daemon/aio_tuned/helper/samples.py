"""The format of samples in a checkpoint and in an archived sweep.

The tables below hold the keys of the format, so that renaming a field of a dataclass does not change it.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned.helper.protocol import parse_point
from aio_tuned.model.measurement import Access, BufferPages, Engine, Purpose, Request, Sample
from aio_tuned.model.setting import Direction, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_RARE_OF_REQUEST = ("engine", "access", "seed", "read_percent", "memory", "groups", "new_file", "max_foreign_bytes")
_RARE_OF_SAMPLE = ("requests", "again", "return_ns", "groups_ns", "mix_written_bytes")

# Keys of the format, with the fields that they hold.
_SETTING = {
    "block_size": "block_size",
    "queue_depth": "queue_depth",
    "io_parallelism": "io_parallelism",
    "overlap_events": "overlap_events",
    "single_submit": "single_submit",
}
_REQUEST = {
    "id": "id",
    "direction": "direction",
    "setting": "setting",
    "transfer_bytes": "transfer_bytes",
    "min_ns": "min_ns",
    "min_transfers": "min_transfers",
    "max_bytes": "max_bytes",
    "drop_caches": "drop_caches",
    "purpose": "purpose",
    "engine": "engine",
    "access": "access",
    "seed": "seed",
    "read_percent": "read_percent",
    "memory": "memory",
    "groups": "groups",
    "new_file": "new_file",
    "max_foreign_bytes": "max_foreign_bytes",
}
_SAMPLE = {
    "request": "request",
    "transfers_ns": "transfers_ns",
    "bytes": "bytes",
    "elapsed_ns": "elapsed_ns",
    "wall_ns": "wall_ns",
    "latency_p50_ns": "latency_p50_ns",
    "latency_p99_ns": "latency_p99_ns",
    "cache_verdict": "cache_verdict",
    "cache_dropped": "cache_dropped",
    "device_read_bytes": "device_read_bytes",
    "device_write_bytes": "device_write_bytes",
    "cpu_ns": "cpu_ns",
    "passing_bytes": "passing_bytes",
    "requests": "requests",
    "again": "again",
    "return_ns": "return_ns",
    "groups_ns": "groups_ns",
    "mix_written_bytes": "mix_written_bytes",
    "neighbour_bytes": "neighbour_bytes",
    "at_s": "at_s",
    "celsius": "celsius",
}
# Keys that are left out where they have their default, as in nearly every sample.
_RARE = {
    **{item.name: item.default for item in fields(Request) if item.name in _RARE_OF_REQUEST},
    **{item.name: item.default for item in fields(Sample) if item.name in _RARE_OF_SAMPLE},
}


def _to_table(value: object, keys: Mapping[str, str]) -> dict[str, Any]:
    found = {key: getattr(value, field) for key, field in keys.items()}
    return {key: item for key, item in found.items() if key not in _RARE or item != _RARE[key]}


def _from_table(table: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields in the table; raise KeyError for an unknown key, TypeError if it is not a table."""
    if not isinstance(table, dict):
        raise TypeError(table)
    return {keys[key]: value for key, value in table.items()}


def to_table(sample: Sample) -> dict[str, Any]:
    """Return the sample as an object of the format."""
    request = _to_table(sample.request, _REQUEST) | {"setting": _to_table(sample.request.setting, _SETTING)}
    return _to_table(sample, _SAMPLE) | {"request": request}


def to_lines(samples: Iterable[Sample]) -> str:
    """Return the text of a file of samples, one JSON object a line."""
    return "".join(json.dumps(to_table(sample), separators=(",", ":")) + "\n" for sample in samples)


def _setting(table: Mapping[str, Any]) -> Setting:
    found = Setting(**_from_table(table, _SETTING))
    counts = (found.block_size, found.queue_depth, found.io_parallelism)
    flags = (found.overlap_events, found.single_submit)
    if any(type(count) is not int or count < 1 for count in counts) or any(type(flag) is not bool for flag in flags):
        raise ValueError(table)
    return found


def _request(table: Mapping[str, Any]) -> Request:
    found = Request(**_from_table({**table, "setting": _setting(table["setting"])}, _REQUEST))
    numbers = (
        *(found.id, found.transfer_bytes, found.min_ns, found.min_transfers, found.max_bytes),
        *(found.seed, found.read_percent, found.groups, found.max_foreign_bytes),
    )
    if (
        any(type(number) is not int or number < 0 for number in numbers)
        or found.direction not in get_args(Direction)
        or found.purpose not in get_args(Purpose)
        or found.drop_caches not in (None, True, False)
        or found.engine not in get_args(Engine)
        or found.access not in get_args(Access)
        or found.memory not in (None, *get_args(BufferPages))
        or type(found.new_file) is not bool
    ):
        raise ValueError(table)
    return found


def _optional(number: object) -> float | None:
    """Return a number that may be missing in older files; raise ValueError if it is not finite."""
    if number is not None and not (isinstance(number, float) and math.isfinite(number)):
        raise ValueError(number)
    return number


def from_table(entry: Mapping[str, Any]) -> Sample:
    """Return the sample in a table, with the checks that an answer of the helper gets.

    Raise KeyError, TypeError, ValueError or HelperError if the table is not a sample.
    """
    request = _request(entry["request"])
    answer = {
        "id": request.id,
        "op": "mixed" if request.read_percent else request.direction,
        "transfer_bytes": request.transfer_bytes,
        "transfers_ns": entry["transfers_ns"],
        "bytes": entry["bytes"],
        "elapsed_ns": entry["elapsed_ns"],
        "wall_ns": entry["wall_ns"],
        "latency_ns": {"p50": entry["latency_p50_ns"], "p99": entry["latency_p99_ns"]},
        "cache": {
            "verdict": entry["cache_verdict"],
            "dropped": entry["cache_dropped"],
            "passing_bytes": entry.get("passing_bytes", 0),
        },
        "counters": {"read_bytes": entry["device_read_bytes"], "write_bytes": entry["device_write_bytes"]},
        "cpu_user_ns": entry.get("cpu_ns", 0),
        **{key: entry[key] for key in _RARE_OF_SAMPLE if key in entry},
        **({"written_bytes": entry["mix_written_bytes"]} if "mix_written_bytes" in entry else {}),
    }
    found = parse_point(answer, request)
    neighbour_bytes = entry.get("neighbour_bytes", 0)
    if type(neighbour_bytes) is not int or neighbour_bytes < 0:
        raise ValueError(neighbour_bytes)
    return replace(
        found,
        neighbour_bytes=neighbour_bytes,
        at_s=_optional(entry.get("at_s")),
        celsius=_optional(entry.get("celsius")),
    )
