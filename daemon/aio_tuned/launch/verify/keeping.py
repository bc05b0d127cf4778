"""The verdict of a comparison, and its place in the state folder and in the profile."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from aio_tuned.consumers import proven
from aio_tuned.model.verdict import Verdict
from aio_tuned.storage import verified
from aio_tuned.storage.verified import Kept

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.launch.verify.comparison import Compared, Comparison
    from aio_tuned.reader.types import FoundProfile
    from aio_tuned.storage.package import Package

_DIGITS = 4


def make_verdict(consumer: str, version: str, setting: str, found: Comparison) -> Verdict:
    """Return the verdict of a comparison that has just ended."""
    read, write = found.by_direction["read"], found.by_direction["write"]
    return Verdict(
        consumer=consumer,
        version=version,
        setting=setting,
        better=found.better,
        ratio=round(found.both.ratio, _DIGITS),
        ci95=_rounded(found.both.ci95),
        read_default_bytes_per_s=round(read.default_bytes_per_s),
        read_bytes_per_s=round(read.ours_bytes_per_s),
        read_ratio=_ratio(read),
        read_ci95=_rounded(read.ratio.ci95),
        write_default_bytes_per_s=round(write.default_bytes_per_s),
        write_bytes_per_s=round(write.ours_bytes_per_s),
        write_ratio=_ratio(write),
        write_ci95=_rounded(write.ratio.ci95),
        measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _ratio(found: Compared) -> float:
    return round(found.ratio.ratio, _DIGITS)


def _rounded(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    return round(low, _DIGITS), round(high, _DIGITS)


def keep(verdict: Verdict, package: Package, found: FoundProfile, state: Path) -> Path:
    """Keep the verdict in place of an earlier one on that consumer, and put it into the published profile.

    Return the file; raise PublishError if it or the profile cannot be written.
    """
    device = found.profile.device
    others = verified.load(state, device.name, device.id)
    mine = Kept(verdict=verdict, fingerprint=found.profile.fingerprint, package=package)
    rest = (each for each in others if each.verdict.consumer != verdict.consumer)
    path = verified.save(state, device.name, device.id, (*rest, mine))
    verified.refresh(found.path, state, proven.holds)
    return path
