"""aio-tuned doctor on a real kernel: each obstacle that is set up gives one finding, and a clean host none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from vm.guest import PROFILES, QUICK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vm.conftest import Rack
    from vm.guest import Guest, Tuned
    from vm.rig.bays import Drive

POINT = "/mnt/x"
NOBODY = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
UNIT = "systemd-run --quiet --pipe --wait --collect"
EPERM = "-p SystemCallErrorNumber=EPERM"


class Answer(NamedTuple):
    """The exit code and the JSON document."""

    status: int | None
    document: dict[str, Any]

    @property
    def found(self) -> list[tuple[str, str]]:
        return [(finding["check"], finding["subject"]) for finding in self.document["findings"]]

    @property
    def unchecked(self) -> list[str]:
        return [missing["check"] for missing in self.document["not_checked"]]


def ask(guest: Guest, words: str = POINT, *, before: str = "") -> Answer:
    job = guest.run(f"{before} aio-tuned doctor --json {words}")
    assert job.err == ""
    return Answer(job.status, json.loads(job.out))


@pytest.fixture(scope="module")
def drive(guest_of_module: Guest) -> Drive:
    drive = guest_of_module.hotplug("SER0001", "1G", read_bps=100e6, write_bps=60e6)
    guest_of_module.mount(drive.dev, POINT)
    return drive


@pytest.fixture(scope="module")
def tuned(guest_of_module: Guest, drive: Drive) -> Tuned:
    assert drive.dev
    return guest_of_module.tune(POINT, QUICK, "[curves]\nenabled = false\n")


@pytest.fixture
def tuned_guest(guest_of_module: Guest, tuned: Tuned) -> Guest:
    """The guest with a measured drive, for tests that change nothing."""
    assert tuned.file
    return guest_of_module


@pytest.fixture
def clean(tuned_guest: Guest) -> Iterator[Guest]:
    """The guest with a measured drive, as it is again after the test."""
    yield tuned_guest
    assert ask(tuned_guest).found == []


def sys_name(drive: Drive) -> str:
    return drive.dev.removeprefix("/dev/")


# --- a clean host ----------------------------------------------------------------------------------------


def test_a_clean_host_has_no_finding(tuned_guest: Guest, drive: Drive) -> None:
    answer = ask(tuned_guest)
    assert (answer.status, answer.found) == (0, [])
    assert answer.document["drives"] == [drive.dev]
    assert not answer.document["costs_throughput"]
    # The drive is QEMU's, which the cloud's kernel reads no temperature of; root may lock any amount of memory.
    assert set(answer.unchecked) <= {"link", "memlock", "temperature"}
    assert "link" in answer.unchecked


@pytest.mark.long
def test_every_drive_is_examined_without_a_path(tuned_guest: Guest, drive: Drive) -> None:
    answer = ask(tuned_guest, "")
    assert (answer.status, answer.found) == (0, [])
    assert answer.document["drives"] == [drive.dev]


@pytest.mark.long
def test_the_text_ends_with_the_sum(tuned_guest: Guest, drive: Drive) -> None:
    lines = tuned_guest.sh(f"aio-tuned doctor {POINT}").splitlines()
    assert lines[-1].startswith(f"{drive.dev}: no obstacle found")
    assert all(line.startswith("not checked: ") for line in lines[:-1])


@pytest.mark.long
def test_nothing_is_left_in_the_folder(tuned_guest: Guest) -> None:
    ask(tuned_guest)
    assert tuned_guest.sh(f"ls -A {POINT}").split() == ["lost+found"]


def test_another_user_gets_the_same_answer_and_hears_what_was_not_looked_at(clean: Guest) -> None:
    answer = ask(clean, before=f"prlimit --memlock=unlimited {NOBODY}")
    assert (answer.status, answer.found) == (0, [])
    assert set(answer.unchecked) - {"temperature"} == {"link", "direct-io"}
    # A folder of the user's own is looked at.
    clean.sh(f"install -d -o nobody {POINT}/own")
    answer = ask(clean, f"{POINT}/own", before=f"prlimit --memlock=unlimited {NOBODY}")
    assert (answer.status, answer.found) == (0, [])
    assert "direct-io" not in answer.unchecked
    clean.sh(f"rmdir {POINT}/own")


# --- an obstacle gives one finding -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "path", "value", "costs"),
    [
        ("aio-max-nr", "/proc/sys/fs/aio-max-nr", "16", True),
        ("thp", "/sys/kernel/mm/transparent_hugepage/enabled", "never", True),
        ("scheduler", "/sys/block/{}/queue/scheduler", "mq-deadline", True),
        ("nomerges", "/sys/block/{}/queue/nomerges", "2", False),
        ("max_sectors_kb", "/sys/block/{}/queue/max_sectors_kb", "64", True),
        ("nr_requests", "/sys/block/{}/queue/nr_requests", "4", True),
    ],
)
def test_a_setting_of_the_kernel(clean: Guest, drive: Drive, check: str, path: str, value: str, costs: bool) -> None:
    place = path.format(sys_name(drive))
    text = clean.sh(f"cat {place}").strip()
    before = text.partition("[")[2].partition("]")[0] or text
    clean.sh(f"echo {value} > {place}")
    try:
        answer = ask(clean)
        clean.sh(answer.document["findings"][0]["remedy"])
        cured = ask(clean)
    finally:
        clean.sh(f"echo {before} > {place}")
    subject = "host" if check in ("aio-max-nr", "thp") else sys_name(drive)
    assert answer.found == [(check, subject)]
    assert answer.status == int(costs)
    assert answer.document["findings"][0]["costs"] == costs
    assert cured.found == []


def test_too_little_memory_to_lock(clean: Guest) -> None:
    answer = ask(clean, before=f"prlimit --memlock=65536 {NOBODY}")
    assert (answer.status, answer.found) == (1, [("memlock", "host")])
    assert "64 KiB" in answer.document["findings"][0]["problem"]
    # KvikIO locks nothing.
    answer = ask(clean, f"--consumer kvikio {POINT}", before=f"prlimit --memlock=65536 {NOBODY}")
    assert (answer.status, answer.found) == (0, [])


@pytest.mark.parametrize("how", [EPERM, pytest.param("", marks=pytest.mark.long)], ids=["refused", "killed"])
def test_io_uring_forbidden_by_seccomp(clean: Guest, how: str) -> None:
    unit = f"{UNIT} -p SystemCallFilter=~io_uring_setup {how}"
    answer = ask(clean, before=unit)
    assert (answer.status, answer.found) == (1, [("io_uring", "host")])
    assert "a seccomp filter" in answer.document["findings"][0]["problem"]
    assert ask(clean, f"--consumer deepspeed {POINT}", before=unit).found == []


def test_a_limit_of_the_control_group(clean: Guest, drive: Drive) -> None:
    answer = ask(clean, before=f"{UNIT} -p 'IOReadBandwidthMax={drive.dev} 10M'")
    assert (answer.status, answer.found) == (1, [("io.max", drive.dev)])
    assert "limits reads to 10 MB/s; the drive gives" in answer.document["findings"][0]["problem"]
    assert ask(clean, before=f"{UNIT} -p 'IOReadBandwidthMax={drive.dev} 10G'").found == []


def test_a_filesystem_without_direct_io(clean: Guest, drive: Drive) -> None:
    clean.sh(f"umount {POINT} && mount -o data=journal {drive.dev} {POINT}")
    try:
        answer = ask(clean)
    finally:
        clean.sh(f"umount {POINT} && mount {drive.dev} {POINT}")
    assert (answer.status, answer.found) == (1, [("direct-io", POINT)])


def test_profiles_that_only_root_can_read(clean: Guest) -> None:
    clean.sh(f"chmod 0750 {PROFILES}")
    try:
        as_root = ask(clean)
        as_nobody = ask(clean, before=f"prlimit --memlock=unlimited {NOBODY}")
    finally:
        clean.sh(f"chmod 0755 {PROFILES}")
    assert (as_root.status, as_root.found) == (1, [("profiles", PROFILES)])
    assert (as_nobody.status, as_nobody.found) == (1, [("profiles", PROFILES)])
    assert {"profile", "configuration"} <= set(as_nobody.unchecked)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("rm {}", "no profile in"),
        pytest.param("chmod o+w {}", "writable by other users", marks=pytest.mark.long),
        pytest.param("sed -i '/^firmware/s/=.*/= \"0.9\"/' {}", "firmware changed from 0.9", marks=pytest.mark.long),
        pytest.param("head -c 200 {0} > {0}.new && mv {0}.new {0}", "not", marks=pytest.mark.long),
    ],
    ids=["missing", "untrusted", "of another firmware", "torn"],
)
def test_a_profile_that_does_not_hold(clean: Guest, drive: Drive, tuned: Tuned, spoil: str, said: str) -> None:
    clean.sh(f"cp -p {tuned.file} /root/kept && {spoil.format(tuned.file)}")
    try:
        answer = ask(clean)
    finally:
        clean.sh(f"cp -p /root/kept {tuned.file}")
    assert (answer.status, answer.found) == (1, [("profile", drive.dev)])
    assert said in answer.document["findings"][0]["problem"]


@pytest.mark.long
def test_two_obstacles_are_two_findings(clean: Guest, drive: Drive) -> None:
    queue = f"/sys/block/{sys_name(drive)}/queue/max_sectors_kb"
    before = clean.sh(f"cat {queue}").strip()
    clean.sh(f"echo 64 > {queue}; echo 16 > /proc/sys/fs/aio-max-nr")
    try:
        answer = ask(clean)
    finally:
        clean.sh(f"echo {before} > {queue}; echo 65536 > /proc/sys/fs/aio-max-nr")
    assert sorted(check for check, _ in answer.found) == ["aio-max-nr", "max_sectors_kb"]


# --- what has no drive -----------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "said"), [("/run", "tmpfs"), ("/proc", "no block device"), ("/none", "No such file"), ("/dev/null", "not")]
)
def test_a_path_without_a_drive_ends_with_the_readers_error(tuned_guest: Guest, path: str, said: str) -> None:
    job = tuned_guest.run(f"aio-tuned doctor {path}")
    assert job.status == 66
    assert said in job.err
    assert job.out == ""


def test_a_drive_without_a_profile_is_one_finding_of_many_drives(clean: Guest) -> None:
    second = clean.hotplug("SER0002", "256M")
    try:
        answer = ask(clean, "")
    finally:
        clean.unplug(second.serial)
    assert (answer.status, answer.found) == (1, [("profile", second.dev)])
    assert len(answer.document["drives"]) == 2


def test_the_reason_of_the_daemon_is_given(guest_of_module: Guest, rack: Rack) -> None:
    """The last test, since the daemon examines the first drive too."""
    host = rack.guest()
    second = host.hotplug("SER0003", "256M")
    host.sh(f"mkswap -q {second.dev} && swapon {second.dev} && systemctl start aio-tuned")
    try:
        reason = host.until_stage(second.dev, "skipped")["reason"]
        answer = ask(guest_of_module, second.dev)
    finally:
        host.sh(f"systemctl stop aio-tuned; swapoff {second.dev}")
        host.unplug(second.serial)
    assert (answer.status, answer.found) == (1, [("profile", second.dev)])
    assert answer.document["findings"][0]["remedy"].endswith(f"the daemon reports: skipped: {reason}")
