"""The facts of a profile about the drive, the sweep and the fingerprint, as rows of tables."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.report import sentences
from aio_tuned.report.html import prose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aio_tuned.model.profile import DeviceInfo, Evidence, Fingerprint, Profile

# The first screen shows these fields.
_ELSEWHERE = frozenset({"findings"})
_KIB = 1024


def _interval(value: object) -> str:
    return f"{' to '.join(map(sentences.signed, value))} %" if isinstance(value, tuple) else str(value)


def _bytes(value: object) -> str:
    count = int(str(value))
    return f"{count:,} ({formatting.amount(count)})" if count >= _KIB else str(count)


# The words for a value by the end of its key.
_UNITS: Mapping[str, Callable[[object], str]] = {
    "_ci95_percent": _interval,
    "_percent": lambda value: f"{sentences.signed(float(str(value)))} %",
    "_bytes_per_s": lambda value: formatting.throughput(float(str(value))),
    "_us": lambda value: formatting.latency(float(str(value))),
    "_bytes": _bytes,
    "bytes_read": _bytes,
    "bytes_written": _bytes,
    "_noise": lambda value: f"{float(str(value)) * 100:.1f} %",
    "_drift": lambda value: prose.percent(float(str(value))),
    "seconds": lambda value: f"{value} s",
    "_c": lambda value: f"{value} °C",
}


def _words(key: str, value: object) -> str:
    """Return the value with its unit; "" if it is unknown."""
    if value is None or value in {"", ()}:
        return ""
    for end, words in _UNITS.items():
        if key.endswith(end):
            return words(value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _rows(table: DeviceInfo | Evidence | Fingerprint) -> Iterator[tuple[str, str]]:
    for item in fields(table):
        if item.name not in _ELSEWHERE:
            yield item.name, _words(item.name, getattr(table, item.name))


def sections(profile: Profile) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each table: its heading, and its keys with their values ("" where unknown)."""
    yield "Drive", list(_rows(profile.device))
    yield "Sweep", list(_rows(profile.evidence))
    yield "Fingerprint: a change makes the profile stale", list(_rows(profile.fingerprint))
