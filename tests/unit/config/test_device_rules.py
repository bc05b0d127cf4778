from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.device_rules import MatchRule, is_of_interest, wanted
from unit.support.builders import device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.device import Device

PCIE = device()
TCP = device(transport="tcp", sys_name="nvme3n1", model="Linux", serial="abc", name="nvme-Linux_abc_1", pcie_link="")
VIRTIO = device(transport="", sys_name="vda", model="", serial="disk0", name="disk-disk0", pcie_link="")
LEG = device(sys_name="nvme0c0n1", hidden=True)
OTHER = device(sys_name="nvme1n1", name="nvme-other_1", serial="other")


def volume(*members: Device, **changes: object) -> Device:
    made = device(
        sys_name="md0",
        name="md-uuid-1:2:3:4",
        transport="",
        model="",
        serial="",
        members=tuple(member.sys_name for member in members),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def rule(tune: bool = True, **patterns: str) -> MatchRule:
    return MatchRule(tune=tune, **patterns)


@pytest.mark.parametrize(
    ("drive", "members", "rules"),
    [
        (PCIE, (), ()),
        (PCIE, (), (rule(False, name="vd*"),)),
        (TCP, (), (rule(transport="tcp"),)),
        (TCP, (), (rule(transport="t?p", model="Lin*", serial="[a-c]bc", name="nvme-Linux_*"),)),
        (TCP, (), (rule(name="nvme3n1"),)),
        (TCP, (), (rule(name="nvme-Linux_abc_1"), rule(False, transport="tcp"))),
        (VIRTIO, (), (rule(name="vd*"),)),
        (VIRTIO, (), (rule(name="disk-*"),)),
        (volume(PCIE, OTHER), (PCIE, OTHER), ()),
        (volume(PCIE, TCP), (PCIE, TCP), (rule(transport="tcp"),)),
        (volume(PCIE, VIRTIO), (PCIE, VIRTIO), (rule(name="md-uuid-1:2:3:4"),)),
        (volume(VIRTIO), (), (rule(name="md*"),)),
    ],
)
def test_wanted(drive: Device, members: Sequence[Device], rules: Sequence[MatchRule]) -> None:
    assert wanted(drive, members, rules) is None


@pytest.mark.parametrize(
    ("drive", "members", "rules", "reason"),
    [
        (
            TCP,
            (),
            (),
            "nvme3n1 is not tuned by default (NVMe, transport tcp); to tune it, add a [[match]] rule with tune = true",
        ),
        (VIRTIO, (), (), "vda is not tuned by default (not NVMe, transport unknown); to tune it, add a [[match]] rule"),
        (replace(VIRTIO, transport="pcie"), (), (), "vda is not tuned by default (not NVMe, transport pcie)"),
        (PCIE, (), (rule(False, model="Samsung*"),), 'excluded by [[match]]: model = "Samsung*", tune = false'),
        (
            PCIE,
            (),
            (rule(False, name="nvme0n1"), rule(name="*")),
            'excluded by [[match]]: name = "nvme0n1", tune = false',
        ),
        (LEG, (), (), "nvme0c0n1 is a hidden path"),
        (LEG, (), (rule(name="*"),), "nvme0c0n1 is a hidden path"),
        (TCP, (), (rule(transport="tcp", model="linux"),), "not tuned by default"),
        (TCP, (), (rule(transport="tcp", model="Lin"),), "not tuned by default"),
        (TCP, (), (rule(transport="tcp", serial="x*"),), "not tuned by default"),
        (volume(PCIE, TCP), (PCIE, TCP), (), "its member nvme3n1 is not tuned (nvme3n1 is not tuned by default"),
        (volume(PCIE, OTHER), (PCIE, OTHER), (rule(False, serial="other"),), "its member nvme1n1 is not tuned"),
        (volume(PCIE, OTHER), (PCIE,), (), "its member nvme1n1 is missing; replace the member"),
        (volume(PCIE), (), (), "its member nvme0n1 is missing; replace the member"),
        (volume(PCIE), (PCIE,), (rule(False, name="md0"),), 'name = "md0", tune = false'),
        (volume(LEG), (LEG,), (), "its member nvme0c0n1 is not tuned"),
    ],
)
def test_unwanted(drive: Device, members: Sequence[Device], rules: Sequence[MatchRule], reason: str) -> None:
    skip = wanted(drive, members, rules)
    assert skip is not None
    assert reason in skip.reason


@pytest.mark.parametrize(
    ("drive", "rules", "shown"),
    [
        (PCIE, (), True),
        (TCP, (), True),
        (LEG, (), True),
        (VIRTIO, (), False),
        (replace(VIRTIO, sys_name="loop0"), (), False),
        (VIRTIO, (rule(False, name="vd*"),), True),
        (VIRTIO, (rule(name="sd*"),), False),
        (volume(VIRTIO, PCIE), (), True),
        (volume(VIRTIO), (), False),
    ],
)
def test_of_interest(drive: Device, rules: Sequence[MatchRule], shown: bool) -> None:
    """A volume with an NVMe member is, also where that was pulled."""
    assert is_of_interest(drive, rules) is shown
