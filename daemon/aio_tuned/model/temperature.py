"""Temperatures of a drive, and what a sweep saw of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """What a drive's sensor says, and from when on the drive itself calls that too hot."""

    celsius: float
    warning_celsius: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A reading at or above the drive's own warning threshold, `limit`; in degrees Celsius."""

    celsius: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """What was seen of a drive's heat during a sweep: the reading furthest above a threshold, and pauses to cool."""

    warned: Warned | None = None
    pauses: int = 0
