"""Samples as they are stored: in a checkpoint and in an archived sweep."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned.helper.protocol import parse_point
from aio_tuned.model.measurement import Purpose, Request, Sample
from aio_tuned.model.setting import Direction, Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def to_table(visit: Sample) -> dict[str, Any]:
    """The entry of a visit."""
    return {"kind": "sample", **asdict(visit)}


def to_lines(visits: Iterable[Sample]) -> str:
    """The text of a file of samples: one JSON object a line."""
    return "".join(json.dumps(asdict(visit), separators=(",", ":")) + "\n" for visit in visits)


def _setting(table: Mapping[str, Any]) -> Setting:
    found = Setting(**table)
    counts = (found.block_size, found.queue_depth, found.io_parallelism)
    flags = (found.overlap_events, found.single_submit)
    if any(type(count) is not int or count < 1 for count in counts) or any(type(flag) is not bool for flag in flags):
        raise ValueError(table)
    return found


def _request(table: Mapping[str, Any]) -> Request:
    found = Request(**{**table, "setting": _setting(table["setting"])})
    numbers = (found.id, found.transfer_bytes, found.min_ns, found.min_transfers, found.max_bytes)
    if (
        any(type(number) is not int or number < 0 for number in numbers)
        or found.direction not in get_args(Direction)
        or found.purpose not in get_args(Purpose)
        or found.drop_caches not in (None, True, False)
    ):
        raise ValueError(table)
    return found


def _optional(number: object) -> float | None:
    """A figure that older records lack; ValueError if it is none."""
    if number is not None and not (isinstance(number, float) and math.isfinite(number)):
        raise ValueError(number)
    return number


def from_table(entry: Mapping[str, Any]) -> Sample:
    """The visit of an entry or of a line of samples, held to all that an answer of the helper is held to.

    KeyError, TypeError, ValueError or HelperError if it is none.
    """
    request = _request(entry["request"])
    answer = {
        "id": request.id,
        "op": request.direction,
        "transfer_bytes": request.transfer_bytes,
        "transfers_ns": entry["transfers_ns"],
        "bytes": entry["bytes"],
        "elapsed_ns": entry["elapsed_ns"],
        "wall_ns": entry["wall_ns"],
        "latency_ns": {"p50": entry["latency_p50_ns"], "p99": entry["latency_p99_ns"]},
        "cache": {"verdict": entry["cache_verdict"], "dropped": entry["cache_dropped"]},
        "counters": {"read_bytes": entry["device_read_bytes"], "write_bytes": entry["device_write_bytes"]},
        "cpu_user_ns": entry.get("cpu_ns", 0),
    }
    found = parse_point(answer, request)
    return replace(found, at_s=_optional(entry.get("at_s")), celsius=_optional(entry.get("celsius")))
