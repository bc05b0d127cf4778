from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.helper.protocol import Tick
from aio_tuned.report.terminal.progress import Bar, Plain, Quiet
from aio_tuned.sweep.progress import SweepProgress
from unit.support.builders import GIB, MIB, device, scratch_target

if TYPE_CHECKING:
    from aio_tuned.model.target import Target


def progress(**changes: object) -> SweepProgress:
    values: dict[str, object] = {
        "direction": "read",
        "points_done": 3,
        "points_planned": 316,
        "visits": 4,
        "repeating": False,
        "best_bytes_per_s": 6.51e9,
        "written_bytes": GIB,
        "left_ns": 151_000_000_000,
        **changes,
    }
    return SweepProgress(**values)  # type: ignore[arg-type]


def run(watcher: Quiet, target: Target | None = None) -> None:
    with watcher:
        watcher.begin(device(), target or scratch_target())
        for part in (256, 512, 1024):
            watcher.tick(Tick(phase="fill", bytes=part * MIB, total_bytes=GIB))
        for done in range(1, 4):
            watcher.update(progress(points_done=done, visits=done))
            watcher.tick(Tick(phase="point", bytes=1, total_bytes=0))
        watcher.update(progress(points_done=316, visits=337, repeating=True))
        watcher.update(progress(direction="write", points_done=1, points_planned=192, visits=1))


def test_plain_lines_say_what_and_where_and_how_far() -> None:
    stream = io.StringIO()
    run(Plain(stream))
    assert stream.getvalue().splitlines() == [
        "/dev/nvme0n1  Samsung SSD 980 PRO 1TB S5GXNF0R123456  931.5G",
        "scratch file in /mnt/nvme (ext4), reads and writes",
        "fill: 256M of 1G",
        "read: 1/316 points (every point once), 1 visits, best 6.51 GB/s, 1G written, at most 2:31 left",
        "read: 316/316 points (racing the finalists), 337 visits, best 6.51 GB/s, 1G written, at most 2:31 left",
        "write: 1/192 points (every point once), 1 visits, best 6.51 GB/s, 1G written, at most 2:31 left",
    ]


def test_a_drop_of_the_page_cache_is_said_with_the_way_to_do_without() -> None:
    for watcher in (Plain, Bar):
        stream = io.StringIO()
        with watcher(stream) as shown:
            shown.will_drop()
        assert "page cache of the whole host is dropped" in stream.getvalue()
        assert "--drop-caches=file" in stream.getvalue()


def test_plain_lines_have_no_colour() -> None:
    stream = io.StringIO()
    run(Plain(stream))
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (scratch_target(no_write="asked"), "scratch file in /mnt/nvme (ext4), reads only: asked"),
        (
            scratch_target(kind="device", path=Path("/dev/nvme0n1"), no_write="not blank"),
            "raw /dev/nvme0n1, reads only: not blank",
        ),
        (scratch_target(kind="device", path=Path("/dev/nvme0n1")), "raw /dev/nvme0n1, reads and writes"),
    ],
)
def test_the_title_says_what_will_be_written(target: Target, line: str) -> None:
    stream = io.StringIO()
    Plain(stream).begin(device(), target)
    assert stream.getvalue().splitlines()[1] == line


def test_a_device_without_model_is_called_by_its_name() -> None:
    stream = io.StringIO()
    Plain(stream).begin(device(model="", serial="", name="block-vda"), scratch_target())
    assert "block-vda" in stream.getvalue()


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(Quiet())
    assert capsys.readouterr() == ("", "")


@pytest.fixture(params=[80, 160])
def _columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(request.param))


def bar(target: Target | None = None) -> str:
    pytest.importorskip("rich")
    stream = io.StringIO()
    run(Bar(stream), target)
    return stream.getvalue()


@pytest.mark.usefixtures("_columns")
def test_the_bar_shows_the_phases_and_how_far_they_are() -> None:
    shown = bar()
    assert "/dev/nvme0n1  Samsung SSD 980 PRO 1TB S5GXNF0R123456  931.5G" in shown
    for name in ("fill", "read", "write"):
        assert name in shown
    assert "1024/1024" in shown
    assert "316/316" in shown
    assert "1/192" in shown


def test_the_bar_does_not_take_names_for_markup() -> None:
    shown = bar(scratch_target(path=Path("/mnt/[bold red]x[/]/:warning:")))
    assert "/mnt/[bold red]x[/]/:warning:" in shown
