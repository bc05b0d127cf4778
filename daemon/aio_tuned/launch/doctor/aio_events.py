"""The AIO events of the kernel (fs.aio-max-nr), against those that all drives' consumers reserve together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.devices import sysfs
from aio_tuned.launch.doctor.finding import HOST, Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from aio_tuned.launch.doctor.need import Need

CHECK = "aio-max-nr"
_STEP = 1 << 16  # the kernel's default, and a round figure to raise the limit by


@dataclass(frozen=True, slots=True, kw_only=True)
class AioEvents:
    """The limit of the host and the events in use, by all processes."""

    limit: int
    in_use: int


def read(proc: Path) -> AioEvents | None:
    """Return the events of the host; None if the kernel does not show them."""
    limit, in_use = (sysfs.attribute(proc / "sys/fs", name) for name in ("aio-max-nr", "aio-nr"))
    if not (limit.isdecimal() and in_use.isdecimal()):
        return None
    return AioEvents(limit=int(limit), in_use=int(in_use))


def check(facts: AioEvents | None, needs: Iterable[Need], processes: int) -> Iterator[Outcome]:
    """Compare the events that are left with the sum of the needs, a need for each drive.

    `processes` are those of the consumer on this host, one for each GPU; they divide the drives among themselves.
    """
    each = [need.events for need in needs if need.events]
    if not each:
        return
    if facts is None:
        yield Unchecked(check=CHECK, subject=HOST, reason="/proc/sys/fs/aio-max-nr cannot be read")
        return
    shares = -(-processes // len(each))
    wanted = sum(each) * shares
    if facts.in_use + wanted <= facts.limit:
        return
    drives = f"{len(each)} drive{'s' if len(each) > 1 else ''}"
    enough = -(-(facts.in_use + wanted) // _STEP) * _STEP
    yield Finding(
        check=CHECK,
        subject=HOST,
        problem=(
            f"fs.aio-max-nr is {facts.limit} with {facts.in_use} in use, but the settings of {drives} need {wanted}"
            f" ({shares} process{'es' if shares > 1 else ''} each); io_setup fails with EAGAIN"
        ),
        remedy=f"sysctl fs.aio-max-nr={enough}",
    )
