"""The outcome of a check: an obstacle, or the reason why nothing could be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What stands in the way, and its remedy; `subject` is "host", a device's node or a path.

    `costs` is false if it costs no throughput by itself.
    """

    check: str
    subject: str
    problem: str
    remedy: str
    costs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchecked:
    """A check that could not look, with the reason."""

    check: str
    subject: str
    reason: str


Outcome: TypeAlias = "Finding | Unchecked"
