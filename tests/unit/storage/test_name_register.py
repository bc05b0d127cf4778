from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.profiles import codec
from aio_tuned.storage.layout import catalog_folder
from aio_tuned.storage.name_register import NameRegister
from unit.support.builders import device, device_info
from unit.support.builders import profile as a_profile
from unit.support.drives import Host, nvme

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.device import Device

NAME = device().name
FIRST = device(id="eui.1")
LATER = device(id="eui.2")
LATERS_NAME = f"{NAME}-{hashlib.sha256(b'eui.2').hexdigest()[:8]}"


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    return tmp_path / "etc"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def register(profiles: Path, state: Path) -> NameRegister:
    return NameRegister(profiles, state)


def claimed(register: NameRegister, *drives: Device) -> list[str]:
    return [register.claim(drive).name for drive in drives]


def test_the_first_owns_the_bare_name_and_a_later_one_gets_its_ids_digits(register: NameRegister) -> None:
    assert claimed(register, FIRST, LATER, FIRST, LATER) == [NAME, LATERS_NAME, NAME, LATERS_NAME]
    assert register.namesake(LATERS_NAME) == (NAME, "eui.1")
    assert register.namesake(NAME) is None
    assert not register.pending


def test_names_hold_for_ever_whoever_comes_first_the_next_time(
    register: NameRegister, profiles: Path, state: Path
) -> None:
    claimed(register, FIRST, LATER)
    again = NameRegister(profiles, state)
    assert claimed(again, LATER, FIRST) == [LATERS_NAME, NAME]
    assert again.namesake(LATERS_NAME) == (NAME, "eui.1")


def test_looking_a_name_up_claims_nothing(register: NameRegister, state: Path) -> None:
    assert register.named(LATER).name == NAME
    assert not state.exists()
    assert claimed(register, FIRST) == [NAME]
    assert register.named(LATER).name == LATERS_NAME
    assert [path.name for path in (state / "names").iterdir()] == [NAME]


@pytest.mark.parametrize("where", ["catalog", "profiles"])
def test_a_profile_from_before_has_an_owner_too(
    register: NameRegister, profiles: Path, state: Path, where: str
) -> None:
    folder = catalog_folder(state) if where == "catalog" else profiles
    folder.mkdir(parents=True)
    text = codec.render(replace(a_profile(), device=device_info(id="eui.1")))
    (folder / f"{NAME}.toml").write_text(text)
    assert claimed(register, LATER, FIRST) == [LATERS_NAME, NAME]
    (folder / f"{NAME}.toml").write_text("torn")
    assert claimed(register, LATER, FIRST) == [LATERS_NAME, NAME]


def test_a_bare_name_that_is_anothers_made_name(register: NameRegister) -> None:
    """A serial number may be chosen to have the digits of another drive's id."""
    squatter = device(id="eui.3", name=LATERS_NAME)
    assert claimed(register, FIRST, squatter, LATER) == [
        NAME,
        LATERS_NAME,
        f"{NAME}-{hashlib.sha256(b'eui.2').hexdigest()[:16]}",
    ]
    assert register.named(LATER).name == f"{NAME}-{hashlib.sha256(b'eui.2').hexdigest()[:16]}"


def test_members_have_the_names_that_they_own(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for number, wwid in enumerate(("eui.1", "eui.2")):
        disk = nvme(host, number)
        for key, text in {"wwid": wwid, "nsid": "1", "size": "2048"}.items():
            (disk.directory / key).write_text(f"{text}\n")
        (disk.directory / "device").resolve().joinpath("model").write_text("M\n")
        (disk.directory / "device").resolve().joinpath("serial").write_text("S\n")
    register = NameRegister(tmp_path / "etc", tmp_path / "var")
    for each in (FIRST, LATER):
        register.claim(replace(each, name="nvme-M_S_1"))
    volume = device(id="md-uuid-1", name="md-uuid-1", sys_name="md0", members=("nvme0n1", "nvme1n1"))
    digits = LATERS_NAME.rpartition("-")[2]
    assert register.named(volume, host.sys).member_names == ("nvme-M_S_1", f"nvme-M_S_1-{digits}")


def test_two_processes_that_claim_at_once_do_not_share_a_name(profiles: Path, state: Path) -> None:
    drives = [device(id=f"eui.{number}") for number in range(16)]
    with ThreadPoolExecutor(len(drives)) as pool:
        names = list(pool.map(lambda drive: NameRegister(profiles, state).claim(drive).name, drives))
    assert len(set(names)) == len(drives)
    assert names.count(NAME) == 1
    assert sorted(path.name for path in (state / "names").iterdir()) == sorted(names)


def test_a_claim_that_cannot_be_written_holds_for_now_and_is_tried_again(
    register: NameRegister, profiles: Path, state: Path
) -> None:
    state.write_text("")
    assert claimed(register, FIRST, LATER) == [NAME, LATERS_NAME]
    assert register.pending
    (error,) = {str(error) for error in register.retry().values()}
    assert "cannot be written" in error
    state.unlink()
    assert register.retry() == {}
    assert not register.pending
    assert claimed(NameRegister(profiles, state), LATER, FIRST) == [LATERS_NAME, NAME]


def test_of_a_claim_made_in_between_by_another_process_the_written_one_counts(
    register: NameRegister, profiles: Path, state: Path
) -> None:
    state.write_text("")
    claimed(register, FIRST)
    state.unlink()
    assert claimed(NameRegister(profiles, state), LATER) == [NAME]
    assert register.retry() == {}
    assert register.named(FIRST).name != NAME


@pytest.mark.parametrize("content", [b"", b"\xff", None])
def test_a_record_that_cannot_be_read_is_somebody_elses(register: NameRegister, state: Path, content: bytes) -> None:
    (state / "names").mkdir(parents=True)
    if content is None:
        (state / "names" / NAME).mkdir()
    else:
        (state / "names" / NAME).write_bytes(content)
    assert claimed(register, LATER) == [LATERS_NAME]
    assert register.namesake(LATERS_NAME) == (NAME, "")


def test_a_record_is_for_every_users_eyes(register: NameRegister, state: Path) -> None:
    old = os.umask(0o077)
    try:
        claimed(register, FIRST)
    finally:
        os.umask(old)
    assert (state / "names").stat().st_mode & 0o777 == 0o755
    assert (state / "names" / NAME).stat().st_mode & 0o777 == 0o644
