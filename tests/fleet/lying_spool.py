"""The spool of a node that lies to its fleet: its drive is as any other, and its reports are not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from aio_tuned.fleet.report import DriveReport, Rate
from aio_tuned.fleet.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

# What a node with an honest name may tell its fleet, beside the truth.
Lie = Literal["", "too fast", "too slow", "another grid", "replayed generation", "forged signature"]
LIES: tuple[Lie, ...] = ("too fast", "too slow", "another grid", "forged signature", "replayed generation")
_FACTORS = {"too fast": 3.0, "too slow": 0.4}


class LyingSpool(Spool):
    """A spool in which reports of measurements are false."""

    def __init__(self, state: Path, lie: Lie) -> None:
        super().__init__(state)
        self._lie = lie

    def write(self, report: DriveReport) -> None:
        super().write(_lied(report, self._lie) if report.basis != "presence" else report)


def _lied(report: DriveReport, lie: Lie) -> DriveReport:
    if lie in _FACTORS:
        parts = {
            direction: replace(part, rate=Rate(*(round(each * _FACTORS[lie]) for each in part.rate)))
            for direction, part in report.directions()
            if part
        }
        confirms = None if report.confirms is None else False
        return replace(report, confirms=confirms, **parts)  # type: ignore[arg-type]
    if lie == "another grid":
        return replace(report, grid=replace(report.grid, queue_depth=(*report.grid.queue_depth, 512)))
    if lie == "replayed generation" and report.basis == "check":
        return replace(report, generation=report.generation + 7)
    return report
