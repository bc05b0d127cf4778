"""The daemon's answer to `aio-tuned forget`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.errors import BusyError
from aio_tuned.service.drive import Drive
from unit.support.desk import Bay, Desk, running

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Drives do not settle in a test's time: none of them is ever probed."""
    return Desk(tmp_path, Config(settle=60.0))


def test_a_present_drive_that_is_forgotten_has_no_profile_until_it_is_asked_for(desk: Desk) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            name = desk.drives()[bay.sys_name].name
            assert desk.published() == [f"{name}.toml"]
            kept = desk.config.state / "history" / name / "20260101T000000Z.toml"
            kept.parent.mkdir(parents=True)
            kept.write_text("x")
            said = await desk.supervisor.answer({"do": "forget", "name": name})
            assert said == f"{name}: 2 files removed; to sweep it again: aio-tuned retune {name}"
            assert not kept.exists()
            assert desk.published() == []
            seen = desk.drives()[bay.sys_name]
            assert (seen.stage, seen.published) == ("skipped", "")
            assert seen.reason == f"forgotten by the operator; to sweep it: aio-tuned retune {name}"
            desk.supervisor.reload()
            await desk.settle(20)
            assert desk.published() == [], "not published again"
            await desk.supervisor.answer({"do": "retune", "name": name})
            assert desk.drives()[bay.sys_name].stage == "settling"

    asyncio.run(scene())


def test_a_removed_drive_can_be_forgotten(desk: Desk) -> None:
    desk.config.state.mkdir(parents=True, exist_ok=True)
    samples = desk.config.state / "nvme-x.samples.jsonl"
    samples.write_text("x")

    async def scene() -> None:
        async with running(desk):
            assert await desk.supervisor.answer({"do": "forget", "name": "nvme-x"}) == "nvme-x: 1 file removed"
            assert not samples.exists()
            assert await desk.supervisor.answer({"do": "forget", "name": "../etc"}) == "../etc: 0 files removed"

    asyncio.run(scene())


def test_a_drive_in_a_sweep_is_not_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    bay = Bay(desk.host)

    async def scene() -> None:
        async with running(desk):
            await desk.send(bay.event())
            name = desk.drives()[bay.sys_name].name
            monkeypatch.setattr(Drive, "is_swept", True)
            with pytest.raises(BusyError, match=f"{name}: sweep running; stop it first: aio-tuned stop {name}"):
                await desk.supervisor.answer({"do": "forget", "name": name})
            monkeypatch.undo()
            assert desk.published() == [f"{name}.toml"]

    asyncio.run(scene())
