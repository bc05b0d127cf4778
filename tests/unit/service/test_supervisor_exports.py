"""The supervisor's part in [[export]] rules: every change that can make a file untrue leads to a look at it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.export_rules import ExportRule
from aio_tuned.config.load import Config
from aio_tuned.errors import TargetError
from aio_tuned.reader.types import Disk
from unit.support.desk import Bay, Desk, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

NAME = "nvme-Model_One_S9000_1"


class Paths:
    """The drives of paths, as find_disk() finds them."""

    def __init__(self) -> None:
        self.on: dict[Path, Disk] = {}

    def find(self, path: Path, **_roots: Path) -> Disk:
        if path in self.on:
            return self.on[path]
        raise TargetError(f"{path}: on no drive")


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> Paths:
    paths = Paths()
    monkeypatch.setattr("aio_tuned.service.supervisor.find_disk", paths.find)
    return paths


@pytest.fixture
def desk(tmp_path: Path, paths: Paths) -> Desk:  # noqa: ARG001 - before the supervisor is made
    rule = ExportRule(consumer="env", path=tmp_path / "mnt", file=tmp_path / "export/x.env")
    return Desk(tmp_path, Config(settle=60.0, export=(rule,)))


async def until(condition: Callable[[], object]) -> None:
    async def wait() -> None:
        while not condition():  # noqa: ASYNC110 - nobody tells when a file has changed
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 20)


def text(desk: Desk) -> str:
    file = desk.config.export[0].file
    return file.read_text() if file.exists() else ""


def disk(desk: Desk) -> Disk:
    """Return the disk of the only drive, which has a profile."""
    from aio_tuned.profiles.files import load_profile

    device = load_profile(desk.config.profiles / f"{NAME}.toml").device
    return Disk(device.id, device.name, device.model, device.serial, device.size_bytes, "/dev/nvme9000n1", "259:1")


def test_at_the_start_the_file_is_true_before_the_daemon_is_ready(desk: Desk, paths: Paths) -> None:
    bay = Bay(desk.host)
    desk.source.present = [bay.event()]
    path = desk.config.export[0].path
    said: list[tuple[str, str]] = []

    async def first() -> None:
        async with running(desk):
            await until(desk.drives)
            paths.on[path] = disk(desk)

    def after_the_scan(present: Iterable[str]) -> None:
        said.append(("scanned", text(desk)))
        withdraw(present)

    async def second() -> None:
        desk.supervisor._publisher.withdraw_absent = after_the_scan  # type: ignore[method-assign]
        desk.supervisor._notify.ready = lambda: said.append(("ready", text(desk)))  # type: ignore[method-assign]
        async with running(desk):
            await until(lambda: len(said) == 2)

    asyncio.run(first())
    desk.config.export[0].file.unlink()
    desk.restart()
    desk.source.present = [bay.event()]
    withdraw = desk.supervisor._publisher.withdraw_absent
    asyncio.run(second())
    assert [moment for moment, _ in said] == ["scanned", "ready"]
    # Before the scan the paths were looked for, so that the file was written before the profile.
    assert all(f"# Settings of {NAME} (provisional)." in found for _, found in said)


def test_a_later_event_of_a_device_leads_to_a_look(desk: Desk, paths: Paths) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            await asyncio.sleep(0.3)  # until no look is due
            paths.on[desk.config.export[0].path] = disk(desk)
            await desk.send(bay.event("change"))
            await until(lambda: NAME in text(desk))

    asyncio.run(scene())


def test_a_mount_a_removal_and_the_minute_lead_to_a_look(desk: Desk, paths: Paths) -> None:
    bay = Bay(desk.host)
    path = desk.config.export[0].path

    async def scene() -> None:
        async with running(desk):
            await until(lambda: "on no drive" in text(desk))
            await desk.send(bay.event())
            paths.on[path] = disk(desk)
            await desk.mount()
            await until(lambda: NAME in text(desk))
            (status,) = desk.supervisor.snapshot().exports
            assert (status.state, status.device) == ("settings", NAME)

            desk.config.export[0].file.unlink()
            await desk.glance()
            await until(lambda: NAME in text(desk))

            del paths.on[path]
            bay.vanish()
            await desk.send(bay.event("remove"))
            await until(lambda: "on no drive" in text(desk))
            assert "AIO_TUNED" not in text(desk)

    asyncio.run(scene())


def test_a_reload_is_over_when_the_files_are_true(desk: Desk) -> None:
    rule = desk.config.export[0]
    new = replace(rule, file=rule.file.with_name("new.env"))
    said: list[tuple[bool, bool]] = []

    async def scene() -> None:
        desk.supervisor._notify.ready = lambda: said.append(  # type: ignore[method-assign]
            (rule.file.exists(), new.file.exists())
        )
        async with running(desk):
            await until(lambda: said)
            desk.config = replace(desk.config, export=(new,))
            desk.supervisor.reload()
            await until(lambda: len(said) == 2)

    asyncio.run(scene())
    assert said == [(True, False), (False, True)]


def test_a_file_that_fails_is_a_trouble(desk: Desk) -> None:
    file = desk.config.export[0].file
    file.parent.mkdir(mode=0o755)
    file.write_text("mine\n")

    async def scene() -> None:
        async with running(desk):
            await until(lambda: desk.supervisor.snapshot().troubles)
            (trouble,) = desk.supervisor.snapshot().troubles
            assert trouble.startswith(f"[[export]] {file}: not written by aio-tuned")

    asyncio.run(scene())
    assert file.read_text() == "mine\n"
