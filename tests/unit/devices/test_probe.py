from __future__ import annotations

import errno
import os
import subprocess
from dataclasses import replace
from sys import executable
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices import blkid, mountinfo
from aio_tuned.devices.probe import probe
from aio_tuned.errors import TargetError
from aio_tuned.model.target import Skip, Target
from unit.devices.test_sysfs import CONTROLLER, DISK, QUEUE, Sys
from unit.support.builders import GIB, MIB, PROJECT

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = Config()


@pytest.fixture
def number(tmp_path: Path) -> str:
    """The device of the filesystem that the tests write to: real, unlike what /sys says of it here."""
    mount = mountinfo.find_mount(tmp_path, mountinfo.read())
    if mount.filesystem == "overlay" or mount.read_only:
        pytest.skip(f"{tmp_path} is on {mount.filesystem}, {mount.options}")
    return mount.device_number


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    return Sys(tmp_path / "sys")


def add_drive(sys: Sys, number: str, **changes: str) -> None:
    """A drive without partitions, all of which is the filesystem."""
    controller = sys.add("devices/pci/nvme/nvme0", CONTROLLER)
    sys.block("devices/pci/nvme/nvme0/nvme0n1", number, **{**DISK, **QUEUE, **changes})
    sys.link("devices/pci/nvme/nvme0/nvme0n1/device", controller)


def test_a_folder_on_a_drive(tmp_path: Path, sys: Sys, number: str) -> None:
    add_drive(sys, number)
    found = probe(tmp_path, CONFIG, sys=sys.root)
    if isinstance(found.decision, Skip):
        pytest.skip(found.decision.reason)  # a full disk
    assert found.decision.kind == "scratch"
    assert found.decision.path == tmp_path
    assert found.decision.no_write == ""
    assert found.device.id == "eui.0025385b21404e5f"
    assert found.device.diskseq == 9
    assert found.number == found.device.device_number == number
    assert found.mount is not None
    assert found.mount == found.usage.mount
    assert found.mount.device_number == number
    assert found.usage.free_bytes >= 4 * found.decision.span_bytes


def test_reads_only_if_asked_for_reads_only(tmp_path: Path, sys: Sys, number: str) -> None:
    add_drive(sys, number)
    found = probe(tmp_path, CONFIG, read_only=True, sys=sys.root)
    assert isinstance(found.decision, Skip) or found.decision.no_write == "--read-only was given"


def test_filling_the_scratch_file_takes_an_eighth_of_the_write_budget_at_most(
    tmp_path: Path, sys: Sys, number: str
) -> None:
    add_drive(sys, number)
    config = replace(CONFIG, write_budget=GIB, write_budget_floor=GIB)
    found = probe(tmp_path, config, sys=sys.root)
    assert isinstance(found.decision, Target)
    assert found.decision.span_bytes == 128 * MIB


def test_a_drive_that_is_not_tuned_is_surveyed_all_the_same(tmp_path: Path, sys: Sys, number: str) -> None:
    add_drive(sys, number, hidden="1")
    found = probe(tmp_path, CONFIG, sys=sys.root)
    assert isinstance(found.decision, Skip)
    assert "hidden path" in found.decision.reason
    assert found.device.hidden
    assert found.mount is not None
    assert found.number == number


@pytest.mark.parametrize(
    ("user", "remedy"), [(0, "allow this unit or container to read it"), (1000, "run as root")], ids=["root", "user"]
)
def test_root_is_not_told_to_run_as_root(
    tmp_path: Path, sys: Sys, number: str, monkeypatch: pytest.MonkeyPatch, user: int, remedy: str
) -> None:
    def sample(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    add_drive(sys, number)
    monkeypatch.setattr(blkid, "sample", sample)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(TargetError, match=rf"/dev/nvme0n1: cannot be read: Operation not permitted; {remedy}$"):
        probe(tmp_path, CONFIG, raw=True, sys=sys.root)


@pytest.mark.parametrize(("zoned", "said"), [("none", ""), ("host-aware", "host-aware"), ("host-managed",) * 2])
def test_a_zoned_drive_gets_no_scratch_file(tmp_path: Path, sys: Sys, number: str, zoned: str, said: str) -> None:
    """Its size is 0, so that no node of this machine is read in its place."""
    add_drive(sys, number, size="0", **{"queue/zoned": zoned})
    found = probe(tmp_path, CONFIG, sys=sys.root)
    assert found.usage.zoned == said
    assert (found.usage.raw_node is not None) == bool(said)


def test_no_target_no_survey(tmp_path: Path, sys: Sys) -> None:
    with pytest.raises(TargetError, match="missing: no such file"):
        probe(tmp_path / "missing", CONFIG, sys=sys.root)
    with pytest.raises(TargetError):
        probe(tmp_path, CONFIG, sys=sys.root)  # its device is not in this /sys


def test_the_daemon_may_survey_without_numpy() -> None:
    done = subprocess.run(
        [executable, "-c", "import sys, aio_tuned.devices.probe; sys.exit('numpy' in sys.modules)"],
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "daemon")},
    )
    assert done.returncode == 0
