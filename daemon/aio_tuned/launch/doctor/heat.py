"""The temperature of a drive, against its own warning threshold, from which on drives slow down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.devices.sensors import Sensors
from aio_tuned.devices.thermometer import worse
from aio_tuned.launch.doctor.finding import Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aio_tuned.model.temperature import Temperature

CHECK = "temperature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """The readings of a drive's sensors; () without any."""

    node: str
    temperatures: tuple[Temperature, ...]


def read(node: str, number: str, sys: Path, proc: Path) -> Heat:
    """Read the sensors; each reading is a request to the drive, which may never answer."""
    return Heat(node=node, temperatures=Sensors(number, sys, proc).temperatures())


def check(facts: Heat) -> Iterator[Outcome]:
    """Report a drive at or above its threshold."""
    if not facts.temperatures:
        yield Unchecked(check=CHECK, subject=facts.node, reason="it has no sensor in /sys")
    elif warned := worse(None, facts.temperatures):
        yield Finding(
            check=CHECK,
            subject=facts.node,
            problem=f"{warned.celsius:.0f} °C; this drive warns from {warned.limit:.0f} °C on and slows down",
            remedy="improve its cooling",
        )
