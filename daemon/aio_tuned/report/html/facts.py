"""The facts of a profile about the drive, the sweep and the fingerprint, as rows of tables."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.report.html import prose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model.profile import DeviceInfo, Evidence, Fingerprint, Profile

# The first screen shows these fields.
_ELSEWHERE = frozenset({"findings"})
_KIB = 1024


def _words(key: str, value: object) -> str:
    """Return the value with its unit; "" if it is unknown."""
    if value is None or value in {"", ()}:
        return ""
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if key.endswith("_bytes") or key in ("bytes_read", "bytes_written"):
        return f"{value:,} ({formatting.amount(count)})" if (count := int(str(value))) >= _KIB else str(value)
    if key.endswith("_noise"):
        return f"{float(str(value)) * 100:.1f} %"
    if key.endswith("_drift"):
        return prose.percent(float(str(value)))
    if key.endswith("seconds"):
        return f"{value} s"
    if key.endswith("_c"):
        return f"{value} °C"
    return str(value)


def _rows(table: DeviceInfo | Evidence | Fingerprint) -> Iterator[tuple[str, str]]:
    for item in fields(table):
        if item.name not in _ELSEWHERE:
            yield item.name, _words(item.name, getattr(table, item.name))


def sections(profile: Profile) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each table: its heading, and its keys with their values ("" where unknown)."""
    yield "Drive", list(_rows(profile.device))
    yield "Sweep", list(_rows(profile.evidence))
    yield "Fingerprint: a change makes the profile stale", list(_rows(profile.fingerprint))
