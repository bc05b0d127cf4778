"""The checks of direct I/O, of the profiles' folder, and of a drive's profile."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices.identity import fingerprint
from aio_tuned.launch.doctor import access, direct_io, profile_state
from aio_tuned.launch.doctor.access import ProfileAccess
from aio_tuned.launch.doctor.direct_io import DirectIo
from aio_tuned.launch.doctor.profile_state import ProfileState
from unit.launch.test_doctor_host import finding, unchecked
from unit.support.builders import device, profile

if TYPE_CHECKING:
    from collections.abc import Iterator

# --- direct I/O ------------------------------------------------------------------------------------------

FOLDER = DirectIo(path="/mnt/x", filesystem="ext4", alignment=512, cached_bytes=0)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (replace(FOLDER, refused=True, alignment=None, cached_bytes=None), "ext4 has no O_DIRECT here"),
        (replace(FOLDER, alignment=0), "takes O_DIRECT, but goes through the page cache"),
        (replace(FOLDER, alignment=0, cached_bytes=65536), "takes O_DIRECT, but goes through the page cache"),
        (replace(FOLDER, alignment=None, cached_bytes=4096), "takes O_DIRECT, but goes through the page cache"),
        (replace(FOLDER, alignment=16384), "needs multiples of 16 KiB, but consumers align to 4 KiB"),
    ],
)
def test_a_filesystem_without_direct_io_is_an_obstacle(facts: DirectIo, said: str) -> None:
    found = finding(direct_io.check(facts))
    assert (found.check, found.subject) == ("direct-io", "/mnt/x")
    assert said in found.problem


@pytest.mark.parametrize(
    "facts", [FOLDER, replace(FOLDER, alignment=None), replace(FOLDER, alignment=4096, cached_bytes=None)]
)
def test_a_filesystem_with_direct_io_is_none(facts: DirectIo) -> None:
    assert list(direct_io.check(facts)) == []


def test_a_folder_that_takes_no_file_is_not_checked() -> None:
    left = unchecked(direct_io.check(DirectIo(path="/mnt/x", filesystem="ext4", untried="Permission denied")))
    assert "Permission denied" in left.reason


def test_direct_io_is_really_tried_and_leaves_nothing(tmp_path: Path) -> None:
    before = [*Path("/proc/self/fd").iterdir()]
    facts = direct_io.read(tmp_path, "some")
    assert facts.refused or facts.cached_bytes is not None
    assert facts.untried == ""
    assert list(tmp_path.iterdir()) == []
    assert len([*Path("/proc/self/fd").iterdir()]) == len(before)


@pytest.mark.parametrize("name", ["file", "name with blanks", "new\nline", "\udcff", "-rf", "%s{}"])
def test_a_file_is_opened_and_not_changed(tmp_path: Path, name: str) -> None:
    path = tmp_path / os.fsdecode(os.fsencode(name))
    path.write_bytes(b"content")
    facts = direct_io.read(path, "some")
    assert facts.untried == ""
    assert facts.cached_bytes is None
    assert path.read_bytes() == b"content"


def test_a_filesystem_that_refuses_the_flag_is_seen() -> None:
    """Of all filesystems that a Linux host has, proc takes no O_DIRECT."""
    assert direct_io.read(Path("/proc/self/limits"), "proc").refused


def test_a_missing_file_is_a_reason(tmp_path: Path) -> None:
    assert direct_io.read(tmp_path / "none", "ext4").untried == "No such file or directory"


def test_a_folder_that_takes_no_file_is_a_reason() -> None:
    assert direct_io.read(Path("/proc"), "proc").untried != ""


# --- the profiles' folder --------------------------------------------------------------------------------


def test_what_is_closed_is_named_first_the_way_then_the_files() -> None:
    closed = ("/etc", "/etc/aio-tuned", "/etc/aio-tuned/a.toml")
    found = finding(access.check(ProfileAccess(folder="/etc/aio-tuned", who="user 1000", closed=closed)))
    assert found.problem == "/etc (and 2 more) cannot be read by user 1000, so the settings are not used"
    assert found.remedy == "chmod o+x /etc"
    assert list(access.check(ProfileAccess(folder="/etc/aio-tuned", who="user 1000"))) == []


@pytest.mark.parametrize(
    ("closed", "remedy"),
    [
        ("/etc/aio-tuned", "chmod o+rX /etc/aio-tuned"),
        ("/etc/aio-tuned/a.toml", "chmod o+rX /etc/aio-tuned/a.toml"),
        ("/etc/aio-tuned/a b.toml", "chmod o+rX '/etc/aio-tuned/a b.toml'"),
    ],
)
def test_only_the_folder_and_its_files_are_made_readable(closed: str, remedy: str) -> None:
    facts = ProfileAccess(folder="/etc/aio-tuned", who="user 1000", closed=(closed,))
    assert finding(access.check(facts)).remedy == remedy


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of profiles that every user may read, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield filled(Path(made) / "profiles")


def filled(made: Path) -> Path:
    made.mkdir(mode=0o755)
    for name in ("a.toml", "b.toml", ".c.toml"):
        (made / name).write_text("")
        (made / name).chmod(0o644)
    return made


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads by the modes")
def test_the_way_to_a_relative_folder_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    folder.parent.chmod(0o700)
    assert access.read(Path(folder.name)).closed == (str(folder.parent),)


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads by the modes")
def test_root_sees_what_other_users_cannot_read(folder: Path) -> None:
    assert access.read(folder) == ProfileAccess(folder=str(folder), who="users other than root", own=False)
    (folder / "b.toml").chmod(0o640)
    assert access.read(folder).closed == (str(folder / "b.toml"),)
    folder.chmod(0o750)
    assert access.read(folder).closed == (str(folder), str(folder / "b.toml"))
    folder.parent.chmod(0o700)
    assert access.read(folder).closed[0] == str(folder.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_user_sees_what_is_closed_to_that_user(folder: Path) -> None:
    folder.chmod(0o700)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        # The effective ids decide, as in a program with the set-user-id bit.
        os.setresgid(-1, 65534, -1)
        os.setresuid(-1, 65534, -1)
        found = access.read(folder)
        os.write(writer, f"{found.who} {found.closed}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == f"user 65534 ('{folder}',)"


def test_a_missing_folder_is_left_to_the_profile(folder: Path) -> None:
    facts = access.read(folder.parent / "none")
    assert facts.missing
    assert list(access.check(facts)) == []


# --- the profile -----------------------------------------------------------------------------------------

NODE = "/dev/nvme0n1"


def test_a_missing_profile_is_an_obstacle_with_the_readers_remedy() -> None:
    error = "/dev/nvme0n1 (nvme-A): no profile in /etc/aio-tuned; see aio-tuned status"
    found = finding(profile_state.check(ProfileState(node=NODE, error=error)))
    assert found.problem == "/dev/nvme0n1 (nvme-A): no profile in /etc/aio-tuned"
    assert found.remedy == "see aio-tuned status"


def test_the_daemons_reason_is_given() -> None:
    error = "/dev/nvme0n1 (nvme-A): no profile in /etc/aio-tuned; see aio-tuned status"
    found = finding(profile_state.check(ProfileState(node=NODE, error=error, daemon="skipped: swap")))
    assert found.problem == "/dev/nvme0n1 (nvme-A): no profile in /etc/aio-tuned"
    assert found.remedy == "run aio-tuned tune /dev/nvme0n1; the daemon reports: skipped: swap"


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (ProfileState(node=NODE, state="stale", why="firmware changed"), "the settings are stale: firmware changed"),
        (ProfileState(node=NODE, state="provisional"), "the settings are provisional"),
        (
            ProfileState(node=NODE, state="stale", changed=("firmware changed from 1 to 2",)),
            "measured under other circumstances: firmware changed from 1 to 2",
        ),
    ],
)
def test_a_profile_of_another_state_is_an_obstacle(facts: ProfileState, said: str) -> None:
    found = finding(profile_state.check(facts))
    assert said in found.problem
    assert "aio-tuned tune /dev/nvme0n1" in found.remedy


@pytest.mark.parametrize("facts", [ProfileState(node=NODE), ProfileState(node=NODE, state="stale", explained=True)])
def test_a_profile_that_holds_is_none(facts: ProfileState) -> None:
    assert list(profile_state.check(facts)) == []


def test_what_another_finding_explains_is_no_second_finding() -> None:
    swept = profile()
    now = fingerprint(device(), "", "6.8.0")
    assert profile_state.differences(swept, now, "6.8.0", "minor", ()) == ((), False)
    other = replace(now, scheduler="mq-deadline", nr_requests=256, firmware="NEW")
    changed, explained = profile_state.differences(swept, other, "6.8.0", "minor", ["scheduler", "memlock"])
    assert (len(changed), explained) == (1, True)
    assert "firmware changed" in changed[0]
    assert len(profile_state.differences(swept, other, "6.8.0", "minor", ["memlock"])[0]) == 3


def test_a_profile_without_a_sweep_has_no_differences() -> None:
    never = replace(profile(), evidence=replace(profile().evidence, measured_at=None))
    now = replace(fingerprint(device(), "", "6.8.0"), firmware="NEW")
    assert profile_state.differences(never, now, "6.8.0", "minor", ()) == ((), False)
