"""The RAID arrays that a volume is built on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.launch.doctor.finding import Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aio_tuned.devices.arrays import Array

CHECK = "array"


def check(arrays: Iterable[Array]) -> Iterator[Outcome]:
    """Report an array that lacks a member or does I/O of its own."""
    for array in arrays:
        if array.missing:
            problem = f"the array lacks {array.missing} of its drives"
            yield Finding(
                check=CHECK,
                subject=array.name,
                problem=problem,
                remedy="replace them (mdadm --add, lvconvert --repair)",
            )
        elif array.action:
            yield Finding(
                check=CHECK,
                subject=array.name,
                problem=f"{array.action} in progress, whose I/O slows all other I/O",
                remedy="wait for its end, see /proc/mdstat",
            )
        elif not array.known:
            yield Unchecked(check=CHECK, subject=array.name, reason="the state of the array cannot be read")
