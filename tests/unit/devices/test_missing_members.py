"""A volume that lists a member which was pulled: dm-crypt, LVM and RAID 0 keep the link to it in `slaves`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices import resolve, stack, sysfs
from aio_tuned.devices.probe import _incomplete
from aio_tuned.errors import TargetError
from aio_tuned.storage.name_register import NameRegister
from unit.support.drives import Host, nvme

if TYPE_CHECKING:
    from pathlib import Path


def stripe(host: Host) -> None:
    """A striped volume on two drives, of which the second was pulled."""
    volume = host.block("virtual/block/dm-0", "254:0")
    for name, text in (("size", "2097152"), ("dm/name", "vg-data"), ("dm/uuid", f"LVM-{'x' * 64}")):
        (volume.directory / name).parent.mkdir(exist_ok=True)
        (volume.directory / name).write_text(f"{text}\n")
    left = nvme(host, 1)
    (left.directory / "size").write_text("1048576\n")
    left.below(volume)
    (volume.directory / "slaves/nvme2n1").symlink_to(host.sys / "devices/pci0000:00/0000:02:00.0/nvme/nvme2/nvme2n1")


@pytest.mark.parametrize("number", ["", " ", "259", "../259:1", "259:1/.."])
def test_what_is_no_number_is_no_device(tmp_path: Path, number: str) -> None:
    """An attribute that cannot be read is "", and /sys/dev/block itself is a folder that exists."""
    host = Host(tmp_path)
    nvme(host, 1)
    with pytest.raises(TargetError):
        sysfs.directory(number, host.sys)


def test_facts_that_make_no_sense_are_an_error_of_the_target(tmp_path: Path) -> None:
    host = Host(tmp_path)
    (nvme(host, 1).directory / "size").write_text("a lot\n")
    with pytest.raises(TargetError, match="device 259:1: invalid attributes in /sys"):
        resolve.read_device("259:1", host.sys, host.proc)


def test_the_volume_is_read_without_the_member(tmp_path: Path) -> None:
    host = Host(tmp_path)
    stripe(host)
    volume = resolve.read_device("254:0", host.sys, host.proc)
    assert volume.members == ("nvme1n1", "nvme2n1")
    assert [member.sys_name for member in resolve.members(volume, host.sys)] == ["nvme1n1"]
    assert resolve.missing_members(volume, host.sys) == ("nvme2n1",)
    named = NameRegister(tmp_path, tmp_path).named(volume, host.sys)
    assert len(named.member_names) == 1


def test_what_lies_below_is_not_seen_and_named(tmp_path: Path) -> None:
    host = Host(tmp_path)
    stripe(host)
    found = stack.read("254:0", host.sys, host.proc, tmp_path / "dev")
    assert found.unseen == "nvme2n1 is missing"


def test_what_is_measured_of_it_is_provisional(tmp_path: Path) -> None:
    host = Host(tmp_path)
    stripe(host)
    assert _incomplete(resolve.read_device("254:0", host.sys, host.proc), host.sys).startswith(
        "dm-0 is missing its member nvme2n1; figures are not those of the complete volume"
    )
    assert _incomplete(resolve.read_device("259:1", host.sys, host.proc), host.sys) == ""
