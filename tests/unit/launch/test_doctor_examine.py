"""The whole examination on planted trees of /sys and /proc: which drives, which findings, each once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices import mountinfo, resolve
from aio_tuned.devices.identity import fingerprint, info
from aio_tuned.errors import TargetError
from aio_tuned.launch.doctor import drives, examine, of_drive
from aio_tuned.launch.doctor.examination import Examination, admit, look
from aio_tuned.launch.doctor.finding import Finding, Unchecked
from aio_tuned.launch.doctor.report import Report, describe, once, to_document
from aio_tuned.profiles import codec
from aio_tuned.timeouts import TooLateError
from unit.support.builders import profile
from unit.support.drives import Host

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE = {
    "scheduler": "[none] mq-deadline",
    "nomerges": "0",
    "nr_requests": "1023",
    "max_sectors_kb": "1280",
    "max_hw_sectors_kb": "2048",
    "logical_block_size": "512",
}
FUNCTION = {
    "current_link_speed": "16.0 GT/s PCIe",
    "current_link_width": "4",
    "max_link_speed": "16.0 GT/s PCIe",
    "max_link_width": "4",
    "vendor": "0x144d",
    "numa_node": "0",
}


def plant(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


class Tree(Host):
    """A host with GPUs' places, limits and drives, all as they should be."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.profiles = root / "profiles"
        self.profiles.mkdir(mode=0o755)
        plant(self.sys, {"kernel/mm/transparent_hugepage/enabled": "[always] madvise never"})
        plant(self.sys, {"fs/cgroup/cgroup.controllers": "io", "devices/system/cpu/present": "0-3"})
        plant(self.proc, {"sys/fs/aio-max-nr": "65536", "sys/fs/aio-nr": "0", "cpuinfo": "flags : fpu"})
        plant(self.proc, {"self/cgroup": "0::/", "self/mountinfo": "", "self/status": "CapEff:\t0000000000000000"})
        plant(self.proc, {"self/limits": "Max locked memory         unlimited            unlimited            bytes"})

    def nvme(self, number: int, **changes: str) -> Path:
        """Add a drive; `changes` are of its PCI function."""
        slot = self.sys / f"devices/pci0000:00/0000:00:{number:02x}.0"
        function = slot / f"0000:{number + 1:02x}:00.0"
        controller = function / f"nvme/nvme{number}"
        place = f"{controller.relative_to(self.sys / 'devices')}/nvme{number}n1"
        block = self.block(place, f"259:{number}")
        block.device(controller)
        plant(slot, {"max_link_speed": "16.0 GT/s PCIe", "max_link_width": "4"})
        plant(function, {**FUNCTION, **changes})
        (controller / "device").symlink_to(function)
        plant(controller, {"transport": "pcie", "model": "M", "serial": f"S{number}", "firmware_rev": "1"})
        plant(controller, {"hwmon0/temp1_input": "40000", "hwmon0/temp1_max": "80000"})
        plant(block.directory, {"size": "2097152", "wwid": f"eui.{number:016x}", "nsid": "1", "ro": "0"})
        plant(block.directory, {**{f"queue/{key}": text for key, text in QUEUE.items()}, "mq/0/nr_tags": "1023"})
        return block.directory

    def measure(self, number: int) -> Path:
        """Publish a profile of the drive as it is."""
        device = resolve.read_device(f"259:{number}", self.sys, self.proc)
        now = fingerprint(device, "", os.uname().release)
        made = replace(profile(), device=info(device), fingerprint=replace(now, filesystem="ext4"))
        path = self.profiles / f"{device.name}.toml"
        path.write_text(codec.render(made))
        return path

    def asked(self, **changes: object) -> Examination:
        made = Examination(consumer="deepspeed", profiles=self.profiles, sys=self.sys, proc=self.proc)
        return replace(made, **changes)  # type: ignore[arg-type]  # any field

    def found(self, **changes: object) -> list[tuple[str, str]]:
        report = examine.run(None, self.asked(**changes))
        return [(finding.check, finding.subject) for finding in report.findings if finding.check != "profiles"]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path)
    made.nvme(0)
    made.measure(0)
    return made


@pytest.mark.parametrize(("consumer", "engine"), [("lmcache_server", "io_uring"), ("vllm", "psync")])
def test_a_drive_without_a_filesystem_is_used_as_a_device_by_those_that_can(
    tree: Tree, consumer: str, engine: str
) -> None:
    drive = next(drives.every((), tree.sys, tree.proc))
    assert admit(drive, tree.asked(consumer=consumer)).need.engine == engine
    mounted = replace(drive, place=Path("/mnt"))
    assert admit(mounted, tree.asked(consumer=consumer)).need.engine == "psync"


def test_a_clean_host_has_no_finding_and_everything_is_checked(tree: Tree) -> None:
    report = examine.run(None, tree.asked())
    assert [each for each in report.findings if each.check != "profiles"] == []
    assert report.unchecked == ()
    assert report.drives == ("/dev/nvme0n1",)


@pytest.mark.parametrize(
    ("place", "text", "check"),
    [
        ("sys/devices/pci0000:00/0000:00:00.0/0000:01:00.0/current_link_speed", "8.0 GT/s PCIe", "link"),
        ("sys/devices/pci0000:00/0000:00:00.0/0000:01:00.0/current_link_width", "2", "link"),
        ("sys/class/block/nvme0n1/queue/scheduler", "none [mq-deadline]", "scheduler"),
        ("sys/class/block/nvme0n1/queue/max_sectors_kb", "128", "max_sectors_kb"),
        ("sys/class/block/nvme0n1/queue/nr_requests", "2", "nr_requests"),
        ("sys/class/block/nvme0n1/device/hwmon0/temp1_input", "81000", "temperature"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]", "thp"),
        ("sys/fs/cgroup/io.max", "259:0 rbps=1000000 wbps=max riops=max wiops=max", "io.max"),
        ("proc/sys/fs/aio-nr", "65536", "aio-max-nr"),
        ("proc/self/limits", "Max locked memory         65536            65536            bytes", "memlock"),
        ("sys/class/block/nvme0n1/device/firmware_rev", "2", "profile"),
    ],
)
def test_each_obstacle_is_one_finding(tree: Tree, tmp_path: Path, place: str, text: str, check: str) -> None:
    (tmp_path / place).write_text(f"{text}\n")
    assert [name for name, _ in tree.found()] == [check]


def test_a_gpu_on_another_node_is_one_finding(tree: Tree) -> None:
    gpu = tree.sys / "bus/pci/devices/0000:41:00.0"
    plant(gpu, {"class": "0x030200", "vendor": "0x10de", "numa_node": "1"})
    for node in ("node0", "node1"):
        (tree.sys / "devices/system/node" / node).mkdir(parents=True)
    assert tree.found() == [("numa", "/dev/nvme0n1")]
    (gpu / "numa_node").write_text("0\n")
    assert tree.found() == []


def test_a_drive_without_a_profile_is_one_finding_with_the_daemons_words(tree: Tree) -> None:
    tree.nvme(1)
    assert tree.found() == [("profile", "/dev/nvme1n1")]
    report = examine.run(None, tree.asked(daemon_says=lambda disk: f"skipped: {disk.node} is swap"))
    (finding,) = (each for each in report.findings if each.check == "profile")
    assert finding.remedy.endswith("the daemon reports: skipped: /dev/nvme1n1 is swap")


def test_the_events_of_all_drives_are_summed(tree: Tree) -> None:
    # Combined: a depth of 16 with one thread, so two handles with two contexts each.
    (tree.proc / "sys/fs/aio-max-nr").write_text("64\n")
    assert tree.found() == []
    tree.nvme(1)
    tree.measure(1)
    assert tree.found() == [("aio-max-nr", "host")]
    assert tree.found(consumer="kvikio") == []


def test_profiles_of_drives_that_are_not_examined_count_too(tree: Tree, tmp_path: Path) -> None:
    tree.nvme(1)
    tree.measure(1)
    (tree.proc / "sys/fs/aio-max-nr").write_text("64\n")
    here = tmp_path.stat().st_dev
    (tree.sys / f"dev/block/{os.major(here)}:{os.minor(here)}").symlink_to(tree.sys / "class/block/nvme0n1")
    report = examine.run(tmp_path, tree.asked())
    assert report.drives == ("/dev/nvme0n1",)
    assert "aio-max-nr" in {finding.check for finding in report.findings}


def test_a_volume_is_examined_in_place_of_its_drives(tree: Tree) -> None:
    tree.nvme(1)
    volume = tree.block("virtual/block/md0", "9:0")
    plant(volume.directory, {"size": "4194304", "md/uuid": "1b5f6d5c:1:2:3", "md/array_state": "clean"})
    plant(volume.directory, {f"queue/{key}": text for key, text in QUEUE.items() if key != "scheduler"})
    for number in (0, 1):
        disk = (tree.sys / f"class/block/nvme{number}n1").resolve()
        (disk / "holders").mkdir()
        (disk / "holders/md0").symlink_to(volume.directory)
        (volume.directory / "slaves").mkdir(exist_ok=True)
        (volume.directory / f"slaves/nvme{number}n1").symlink_to(disk)
    report = examine.run(None, tree.asked())
    assert report.drives == ("/dev/md0",)
    (tree.sys / "class/block/nvme1n1/queue/scheduler").write_text("none [bfq]\n")
    (tree.sys / "class/block/md0/queue/max_sectors_kb").write_text("64\n")
    found = tree.found()
    assert ("scheduler", "nvme1n1") in found
    assert ("max_sectors_kb", "md0") in found


def test_another_disk_is_examined_only_with_a_profile(tree: Tree) -> None:
    disk = tree.block("pci0000:00/0000:00:1f.0/virtio1/block/vda", "254:0")
    plant(disk.directory, {"size": "2097152", "serial": "VIRT1", "queue/logical_block_size": "512"})
    plant(disk.directory, {f"queue/{key}": text for key, text in QUEUE.items() if key != "scheduler"})
    assert examine.run(None, tree.asked()).drives == ("/dev/nvme0n1",)
    device = resolve.read_device("254:0", tree.sys, tree.proc)
    now = fingerprint(device, "", os.uname().release)
    made = replace(profile(), device=info(device), fingerprint=replace(now, filesystem="ext4"))
    (tree.profiles / f"{device.name}.toml").write_text(codec.render(made))
    assert examine.run(None, tree.asked()).drives == ("/dev/nvme0n1", "/dev/vda")
    assert tree.found() == []


def test_nothing_to_see_is_said(tmp_path: Path) -> None:
    """A container without /sys and /proc: no finding, and each check that could not look."""
    asked = Examination(consumer=None, profiles=Path("/no/such"), sys=tmp_path / "sys", proc=tmp_path / "proc")
    report = examine.run(None, asked)
    assert {missing.check for missing in report.unchecked} >= {"drives", "memlock", "profiles", "thp"}
    assert not [finding for finding in report.findings if finding.check not in ("io_uring", "profiles")]
    assert "no drive" in describe(report)


def test_sixty_drives_are_examined_in_seconds(tree: Tree) -> None:
    for number in range(1, 60):
        tree.nvme(number)
        tree.measure(number)
    began = time.process_time()
    report = examine.run(None, tree.asked())
    spent = time.process_time() - began
    assert len(report.drives) == 60
    assert report.findings == () or {each.check for each in report.findings} <= {"profiles"}
    assert spent < 20, f"{spent:.1f} s"


def test_a_report_as_json_and_as_text(tree: Tree) -> None:
    (tree.proc / "sys/fs/aio-max-nr").write_text("1\n")
    report = examine.run(None, tree.asked())
    report = replace(
        report,
        outcomes=(
            *(each for each in report.outcomes if each.check != "profiles"),
            Unchecked(check="link", subject="nvme0n1", reason="virtual"),
            Finding(check="nomerges", subject="nvme0n1", problem="p", remedy="r", costs=False),
        ),
    )
    document = json.loads(json.dumps(to_document(report)))
    assert document["costs_throughput"]
    assert [each["check"] for each in document["findings"]] == ["aio-max-nr", "nomerges"]
    assert document["not_checked"] == [{"check": "link", "subject": "nvme0n1", "reason": "virtual"}]
    lines = describe(report).splitlines()
    assert lines[0].startswith("host: aio-max-nr: fs.aio-max-nr is 1 with 0 in use")
    assert lines[1:] == [
        "note: nvme0n1: nomerges: p; r",
        "not checked: nvme0n1: link: virtual",
        "/dev/nvme0n1: 1 obstacle to full throughput, 1 not checked",
    ]
    assert not replace(report, outcomes=report.outcomes[-2:]).costs


def test_the_same_obstacle_of_two_volumes_is_told_once() -> None:
    finding = Finding(check="scheduler", subject="nvme0n1", problem="p", remedy="r")
    missing = Unchecked(check="scheduler", subject="nvme0n1", reason="virtual")
    other = replace(finding, subject="nvme1n1")
    assert once((finding, missing, replace(finding, problem="q"), other, missing)) == (finding, missing, other)


def test_a_profile_that_is_closed_to_this_process_is_not_checked(tree: Tree) -> None:
    asked = tree.asked(profiles=tree.profiles / "none")
    patient = admit(next(drives.every((), tree.sys, tree.proc)), asked)
    around = of_drive.Surroundings(gpus=(), numa_nodes=1, found=frozenset(), closed=True)
    (left,) = of_drive.examine(patient, around, asked)
    assert isinstance(left, Unchecked)
    assert left.check == "profile"
    (found,) = of_drive.examine(patient, replace(around, closed=False), asked)
    assert isinstance(found, Finding)


def test_a_path_cannot_add_a_line() -> None:
    finding = Finding(check="direct-io", subject="/mnt/a\nb\x1b[2J\udcff", problem="p", remedy="r")
    text = describe(Report(drives=(), outcomes=(finding,)))
    assert text.splitlines()[0] == "/mnt/a\\nb\\x1b[2J\\udcff: direct-io: p; r"
    assert len(text.splitlines()) == 2


def test_the_filesystem_of_a_path_is_named(tmp_path: Path) -> None:
    shown = drives._filesystem(tmp_path, Path("/proc"))
    assert shown == mountinfo.find_mount(tmp_path, mountinfo.read()).filesystem
    assert drives._filesystem(tmp_path / "none", Path("/proc")) == "this filesystem"


# --- what cannot be read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(24, "Too many open files"), "[Errno 24] Too many open files"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (TargetError("device 259:0: removed"), "device 259:0: removed"),
        (TooLateError(), "no answer within 5 s"),
        (ValueError(), "ValueError"),
    ],
)
def test_an_error_is_no_answer_of_a_check(error: Exception, reason: str) -> None:
    def see() -> list[Finding]:
        raise error

    assert look("link", "nvme0n1", see) == (Unchecked(check="link", subject="nvme0n1", reason=reason),)


def test_a_process_without_files_left_still_answers(tmp_path: Path) -> None:
    """A traceback would end with 1, the exit code of an obstacle."""
    words = [sys.executable, "-c", "from aio_tuned.cli.main import main; raise SystemExit(main())", "doctor", "--json"]
    done = subprocess.run(
        ["prlimit", "--nofile=5", *words, "--profiles", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 66, 71, 78), done.stderr
