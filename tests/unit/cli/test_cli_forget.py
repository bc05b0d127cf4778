"""aio-tuned forget: with a daemon, which removes the files itself, and without one."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.cli import forget as command
from aio_tuned.cli.main import main
from aio_tuned.devices.lock import lock_device
from aio_tuned.errors import BusyError, Exit
from aio_tuned.service import control
from aio_tuned.service import main as service_main
from unit.support.builders import device
from unit.support.stored import fill, left

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "aio-tuned.conf"
    path.write_text(
        f'[paths]\nprofiles = "{tmp_path}/etc"\nstate = "{tmp_path}/var"\nruntime = "{tmp_path}/run"\n',
        encoding="utf-8",
    )
    (tmp_path / "run").mkdir()
    fill(tmp_path, "nvme-x", "nvme-y")
    return path


def words(conf: Path, target: str = "nvme-x") -> list[str]:
    return ["--config", str(conf), "forget", target]


def files_of(conf: Path) -> set[str]:
    return {place for place in left(conf.parent) if "nvme-x" in place}


def test_without_a_daemon_the_command_removes_the_files(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(conf)) == Exit.OK
    assert capsys.readouterr() == ("nvme-x: 6 files removed\n", "")
    assert files_of(conf) == {"etc/override.d/nvme-x.toml", "var/names/nvme-x"}
    assert "var/history/nvme-y/20260101T000000Z.toml" in left(conf.parent)
    assert main(words(conf)) == Exit.TARGET
    assert "nvme-x: neither a path nor a drive with stored data" in capsys.readouterr().err


def test_a_daemon_that_does_not_answer_yet_keeps_its_files(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A daemon holds its lock before it has a socket."""
    before = left(conf.parent)
    lock = service_main.hold_lock(conf.parent / "run")
    try:
        assert main(words(conf)) == Exit.BUSY
    finally:
        os.close(lock)
    assert "already running" in capsys.readouterr().err
    assert left(conf.parent) - {"run/daemon.lock"} == before


def asked(conf: Path, answer: str | BusyError) -> tuple[int, list[dict[str, Any]]]:
    """(exit code, what a daemon that answers so was asked)."""
    requests: list[dict[str, Any]] = []

    async def handle(request: Mapping[str, Any]) -> str:
        requests.append(dict(request))
        if isinstance(answer, BusyError):
            raise answer
        return answer

    async def talk() -> int:
        server = await control.serve(control.socket_path(conf.parent / "run"), handle)
        try:
            return await asyncio.to_thread(main, words(conf))
        finally:
            server.close()

    return asyncio.run(talk()), requests


def test_a_running_daemon_is_asked(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(conf)
    assert asked(conf, "done") == (Exit.OK, [{"do": "forget", "name": "nvme-x"}])
    assert capsys.readouterr() == ("done\n", "")
    assert files_of(conf) == before, "the daemon removes them"


def test_a_refusal_of_the_daemon_is_reported(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = asked(conf, BusyError("nvme-x: sweep running; stop it first: aio-tuned stop nvme-x"))
    assert code == Exit.BUSY
    assert capsys.readouterr() == ("", "aio-tuned: nvme-x: sweep running; stop it first: aio-tuned stop nvme-x\n")


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if `aio-tuned tune` swept the drive, whose node is a file of the test."""
    node = tmp_path / "nvme0n1"
    node.touch()
    found = device(node=node, diskseq=None, members=(), neighbours=())
    monkeypatch.setattr(command, "_device", lambda name, register: found if name == "nvme-x" and register else None)
    monkeypatch.setattr("aio_tuned.devices.lock.check_same", lambda _: None)
    with lock_device(found):
        yield


@pytest.mark.usefixtures("swept")
def test_a_drive_that_is_swept_is_refused(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(conf)
    assert main(words(conf)) == Exit.BUSY
    assert "locked" in (said := capsys.readouterr().err)
    assert said.endswith("; to stop a sweep of the daemon: aio-tuned stop nvme-x\n")
    assert files_of(conf) == before
    assert main(words(conf, "nvme-y")) == Exit.OK
