"""The temperatures of a drive, and the heat observed during a sweep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """A reading of a drive's sensor, and the drive's own warning threshold."""

    celsius: float
    warning_celsius: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A reading at or above the drive's own warning threshold, `limit`; in degrees Celsius."""

    celsius: float
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """A drive's heat during a sweep: the reading furthest above a threshold, and the number of pauses to cool."""

    warned: Warned | None = None
    pauses: int = 0
