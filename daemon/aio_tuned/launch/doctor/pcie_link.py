"""The PCIe link of a drive, against the best of the drive and its slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.devices import pcie, sysfs
from aio_tuned.launch.doctor.finding import Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aio_tuned.devices.pcie import Attachment

CHECK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveLink:
    """The PCIe attachment of one NVMe disk, None if unknown; `paths` is the number of its controllers."""

    name: str
    attachment: Attachment | None
    paths: int = 1


def read(disk: Path, sys: Path, proc: Path) -> DriveLink | None:
    """Return the link of the disk with that directory in /sys; None if the disk is not an NVMe drive on PCIe."""
    controllers = sysfs.controllers_of(disk)
    if not any(sysfs.attribute(controller, "transport") == "pcie" for controller in controllers):
        return None
    attachment = sysfs.attachment(sysfs.attribute(disk, "dev"), sys, proc)
    return DriveLink(name=disk.name, attachment=attachment, paths=len(controllers))


def check(facts: DriveLink) -> Iterator[Outcome]:
    """Report a link below the best of its ends."""
    if facts.attachment is None:
        why = "it has several links" if facts.paths > 1 else "/sys does not show its link"
        yield Unchecked(check=CHECK, subject=facts.name, reason=why)
    elif not facts.attachment.real:
        yield Unchecked(check=CHECK, subject=facts.name, reason="the drive is virtual, and so is its link")
    elif facts.attachment.drive is None:
        yield Unchecked(check=CHECK, subject=facts.name, reason="/sys does not show the best link of the drive")
    elif said := pcie.below(facts.attachment):
        problem, _, remedy = said.partition("; ")
        yield Finding(check=CHECK, subject=facts.name, problem=problem, remedy=remedy)
