from __future__ import annotations

import asyncio
import logging
import os
import stat
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.service import status
from aio_tuned.service.monitoring.status_publisher import StatusPublisher
from aio_tuned.service.sd_notify import Notify
from unit.support.snapshots import SWEEPING, known, seen, snapshot, state
from unit.support.unchanged import state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aio_tuned.service.monitoring.snapshot import Snapshot


class Desk:
    """What there is to tell, and where it is told."""

    def __init__(self, folder: Path, **paces_s: float) -> None:
        self.metrics, self.features = folder / "out/metrics.prom", folder / "out/features"
        self.metrics.parent.mkdir()
        self.config = replace(Config(), runtime=folder, metrics=self.metrics, node_features=self.features)
        self.now: Snapshot = snapshot(seen(), config=self.config, pid=os.getpid())
        self.clock = 1000.0
        self.publisher = StatusPublisher(self.look, Notify({}), monotonic=lambda: self.clock, **paces_s)

    def look(self) -> Snapshot:
        return replace(self.now, troubles=(*self.now.troubles, *self.publisher.troubles))

    def configure(self, **changes: object) -> None:
        self.now = replace(self.now, config=replace(self.now.config, **changes))  # type: ignore[arg-type]

    @property
    def up(self) -> str:
        return next(line for line in self.metrics.read_text().splitlines() if line.startswith("aio_tuned_up"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@asynccontextmanager
async def telling(desk: Desk) -> AsyncIterator[None]:
    desk.publisher.begin()
    await asyncio.sleep(0.1)
    try:
        yield
    finally:
        desk.publisher.close()


async def change(desk: Desk) -> None:
    desk.publisher.changed()
    await asyncio.sleep(0.1)


def test_everything_is_told_soon_after_the_beginning(desk: Desk) -> None:
    async def scene() -> None:
        desk.publisher.begin()
        assert status.status_path(desk.config.runtime).exists(), "before it says that it is ready"
        assert not desk.metrics.exists(), "prometheus_client takes its time to be imported"
        await asyncio.sleep(0.1)
        assert desk.up == "aio_tuned_up 1.0"
        assert "measured-devices=1" in desk.features.read_text()
        desk.publisher.close()

    asyncio.run(scene())


def test_the_files_are_for_all_to_read_and_nothing_is_left_beside_them(desk: Desk) -> None:
    before = os.umask(0o077)

    async def scene() -> None:
        async with telling(desk):
            await change(desk)

    try:
        asyncio.run(scene())
    finally:
        os.umask(before)
    assert sorted(path.name for path in desk.metrics.parent.iterdir()) == ["features", "metrics.prom"]
    for path in (desk.metrics, desk.features):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_what_a_kill_has_left_is_removed(desk: Desk) -> None:
    left = desk.metrics.with_name(".metrics.prom.abcd1234")
    left.write_text("")
    os.utime(left, (0, 0))
    theirs = desk.metrics.with_name("node.prom")
    theirs.write_text("")

    async def scene() -> None:
        async with telling(desk):
            assert not left.exists()
            assert theirs.exists()

    asyncio.run(scene())


def test_the_end_says_that_the_daemon_is_down(desk: Desk) -> None:
    async def scene() -> None:
        async with telling(desk):
            pass
        desk.publisher.changed()
        await asyncio.sleep(0.1)

    asyncio.run(scene())
    assert desk.up == "aio_tuned_up 0.0"
    assert "aio_tuned_drive_info" not in desk.metrics.read_text()
    assert not status.status_path(desk.config.runtime).exists()
    assert desk.features.exists(), "the features stay valid until they expire"


def test_a_sweep_that_comes_on_is_told_now_and_then(tmp_path: Path) -> None:
    desk = Desk(tmp_path, status_every_s=0.02, metrics_every_s=0.5)

    async def scene() -> None:
        async with telling(desk):
            desk.now = replace(desk.now, drives=(seen(state=state("sweeping"), sweeping=SWEEPING),))
            before = desk.metrics.stat().st_ino
            desk.publisher.progressed()
            await asyncio.sleep(0.1)
            assert status.read(desk.config.runtime).drives[0].sweeping == SWEEPING
            assert desk.metrics.stat().st_ino == before
            desk.clock += 0.5
            desk.publisher.progressed()
            await asyncio.sleep(0.1)
            assert "aio_tuned_sweep_progress_ratio" in desk.metrics.read_text()

    asyncio.run(scene())


def test_the_beat_writes_what_would_grow_old(tmp_path: Path) -> None:
    desk = Desk(tmp_path, refresh_s=0.4)

    async def scene() -> None:
        async with telling(desk):
            metrics, features = desk.metrics.stat().st_ino, desk.features.stat().st_ino
            desk.publisher.beat()
            await asyncio.sleep(0.1)
            assert desk.metrics.stat().st_ino == metrics
            desk.clock += 0.5
            desk.publisher.beat()
            await asyncio.sleep(0.1)
            assert desk.metrics.stat().st_ino != metrics
            assert desk.features.stat().st_ino == features, "they hold for longer"

    asyncio.run(scene())


def test_node_features_are_rewritten_at_half_of_their_lifetime(desk: Desk) -> None:
    desk.configure(node_features_expiry=600.0)

    async def scene() -> None:
        async with telling(desk):
            before = desk.features.stat().st_ino
            await change(desk)
            assert desk.features.stat().st_ino == before, "nothing has changed"
            desk.clock += 300
            desk.publisher.beat()
            await asyncio.sleep(0.1)
            assert desk.features.stat().st_ino != before

    asyncio.run(scene())


def test_node_features_are_written_when_profiles_change(desk: Desk) -> None:
    async def scene() -> None:
        async with telling(desk):
            desk.now = replace(desk.now, drives=(seen(shown=known(state="stale")),))
            await change(desk)
            assert "measured-devices=0" in desk.features.read_text()

    asyncio.run(scene())


def test_a_reload_moves_the_files_and_leaves_none_behind(desk: Desk, tmp_path: Path) -> None:
    async def scene() -> None:
        async with telling(desk):
            desk.configure(metrics=tmp_path / "other.prom", node_features=None)
            await change(desk)
            assert (tmp_path / "other.prom").exists()
            assert not desk.metrics.exists()
            assert not desk.features.exists()
            desk.configure(metrics=None)
            await change(desk)
            assert not (tmp_path / "other.prom").exists()
            desk.configure(node_features=desk.features)
            await change(desk)
            assert desk.features.exists()

    asyncio.run(scene())
    assert not (tmp_path / "other.prom").exists()


def test_a_folder_that_is_not_there_is_a_trouble_until_it_is(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "nowhere/metrics.prom"
    desk.configure(metrics=path)
    trouble = (
        f"{path}: cannot be written: No such file or directory; create the folder, let the daemon write to it,"
        " or change [publish] metrics"
    )

    async def scene() -> None:
        async with telling(desk):
            await asyncio.sleep(0.1)
            await change(desk)
            assert status.read(desk.config.runtime).troubles == (trouble,)
            assert caplog.text.count(trouble) == 1
            path.parent.mkdir()
            await change(desk)
            await asyncio.sleep(0.1)
            assert path.exists()
            assert status.read(desk.config.runtime).troubles == ()

    asyncio.run(scene())


@pytest.mark.parametrize("what", ["pipe", "link", "another program's"])
def test_what_is_not_ours_stays(desk: Desk, tmp_path: Path, what: str) -> None:
    theirs, config = tmp_path / "theirs", tmp_path / "theirs.conf"
    config.write_text("[daemon]\n")
    if what == "pipe":
        os.mkfifo(theirs)
    elif what == "link":
        theirs.symlink_to(config)
    else:
        theirs.write_text("# HELP node_load1 theirs\n")
    before = state_of(theirs)
    desk.configure(metrics=theirs, node_features=theirs)

    async def scene() -> None:
        async with telling(desk):
            await change(desk)
            told = "not written by aio-tuned, so it is not replaced; "
            assert [trouble.count(told) for trouble in desk.publisher.troubles] == [1, 1]
            desk.configure(metrics=None, node_features=None)
            await change(desk)
            assert desk.publisher.troubles == ()

    asyncio.run(scene())
    assert state_of(theirs) == before
    assert config.read_text() == "[daemon]\n"


def test_without_prometheus_client_the_journal_has_a_hint(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    async def scene() -> None:
        with caplog.at_level(logging.INFO):
            async with telling(desk):
                await change(desk)
                assert desk.publisher.troubles == ()
                assert desk.features.exists(), "the other files are written"
                assert status.status_path(desk.config.runtime).exists()

    asyncio.run(scene())
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "apt-get install python3-prometheus-client" in record.getMessage()
    assert not desk.metrics.exists()


def test_without_metrics_wanted_there_is_no_hint(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    desk.configure(metrics=None)

    async def scene() -> None:
        with caplog.at_level(logging.INFO):
            async with telling(desk):
                pass

    asyncio.run(scene())
    assert caplog.records == []
