from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.helper.protocol import Tick
from aio_tuned.report.terminal.progress import Bar, Plain, Quiet
from aio_tuned.sweep.planning import Preview
from aio_tuned.sweep.progress import SweepProgress
from unit.support.builders import GIB, MIB, device, scratch_target

if TYPE_CHECKING:
    from aio_tuned.model.target import Target


def preview(target: Target | None = None, **changes: object) -> Preview:
    values: dict[str, object] = {
        "device": device(),
        "target": target or scratch_target(),
        "settings": {"read": 320, "write": 320},
        "measured": {"read": 320, "write": 320},
        "time_s": 150.0,
        "written_bytes": 21 * GIB,
        "drop_caches": "file",
        **changes,
    }
    return Preview(**values)  # type: ignore[arg-type]


def progress(**changes: object) -> SweepProgress:
    values: dict[str, object] = {
        "direction": "read",
        "points_done": 3,
        "points_planned": 316,
        "repeating": False,
        "best_bytes_per_s": 6.51e9,
        "written_bytes": GIB,
        "left_ns": 151_000_000_000,
        "activity": "every setting once",
        "step": (1, 2),
        "measured": 3,
        "expected": 340,
        **changes,
    }
    return SweepProgress(**values)  # type: ignore[arg-type]


RACE = progress(
    points_done=316, repeating=True, activity="comparing 20 finalists", step=(2, 2), measured=9, expected=90
)


def run(watcher: Quiet, target: Target | None = None) -> None:
    with watcher:
        watcher.begin(preview(target))
        for part in (256, 512, 1024):
            watcher.tick(Tick(phase="fill", bytes=part * MIB, total_bytes=GIB))
        for done in range(1, 4):
            watcher.update(progress(measured=done))
            watcher.tick(Tick(phase="point", bytes=1, total_bytes=0))
        watcher.update(RACE)
        watcher.update(progress(direction="write", points_done=1, measured=1, expected=192))


def test_plain_lines_say_what_and_where_and_how_far() -> None:
    stream = io.StringIO()
    run(Plain(stream))
    assert stream.getvalue().splitlines() == [
        "nvme0n1 (Samsung SSD 980 PRO 1TB, 1.00 TB) through /mnt/nvme (ext4)",
        "reads and writes, at most 2:30 and 21 GiB written",
        "host page cache: not dropped",
        "writing test data: 256 MiB of 1 GiB",
        "read 1/2: every setting once: 1 of 340 measurements, best 6.51 GB/s, 1 GiB written, at most 2:31 left",
        "read 2/2: comparing 20 finalists: 9 of 90 measurements, best 6.51 GB/s, 1 GiB written, at most 2:31 left",
        "write 1/2: every setting once: 1 of 192 measurements, best 6.51 GB/s, 1 GiB written, at most 2:31 left",
    ]


def test_plain_lines_have_no_zeros() -> None:
    """Before the first measurement that counts there is no best, and before the first tick nothing is filled."""
    stream = io.StringIO()
    with Plain(stream) as watcher:
        watcher.tick(Tick(phase="fill", bytes=0, total_bytes=GIB))
        watcher.update(progress(best_bytes_per_s=0.0, written_bytes=0, activity="checking 6 settings", step=(1, 1)))
    assert stream.getvalue().splitlines() == [
        "writing test data",
        "read: checking 6 settings: 3 of 340 measurements, at most 2:31 left",
    ]


def test_plain_lines_have_no_colour() -> None:
    stream = io.StringIO()
    run(Plain(stream))
    assert "\x1b" not in stream.getvalue()


def test_quiet_shows_findings_only(capsys: pytest.CaptureFixture[str]) -> None:
    run(Quiet())
    Quiet().note("other processes use the drive")
    assert capsys.readouterr() == ("", "")
    stream = io.StringIO()
    run(Quiet(stream))
    Quiet(stream).note("other processes use the drive")
    assert stream.getvalue() == "other processes use the drive\n"


@pytest.fixture(params=[80, 160])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


def bar(target: Target | None = None) -> str:
    pytest.importorskip("rich")
    stream = io.StringIO()
    run(Bar(stream), target)
    return stream.getvalue()


def test_the_bars_name_the_phases_and_count_measurements(columns: int) -> None:
    shown = bar().splitlines()
    assert shown[0] == "nvme0n1 (Samsung SSD 980 PRO 1TB, 1.00 TB) through /mnt/nvme (ext4)"
    fill, first, second, write = shown[-4:]
    assert fill.startswith("writing test data ")
    assert fill.rstrip().endswith("1 GiB")
    assert first.startswith("read 1/2: every setting once ")
    assert first.rstrip().endswith(" 3"), "its end is that of the phase"
    assert second.startswith("read 2/2: comparing 20 finalists ")
    assert second.rstrip().endswith(" 9"), "the race was settled before its budgets were spent"
    assert write.startswith("write 1/2: every setting once ")
    assert max(map(len, shown)) <= columns - 4


@pytest.mark.parametrize(
    "shown",
    [
        progress(direction="write", step=(2, 2), activity="comparing 20 finalists", measured=3_538, expected=12_345),
        progress(direction="write", step=(2, 2), activity="sustained writes", best_bytes_per_s=12.25e9),
    ],
)
def test_a_bar_is_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch, shown: SweepProgress) -> None:
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    watcher = Bar(stream)
    watcher.update(shown)
    (line,) = [line for line in rendered(watcher) if line.strip()]
    assert "…" not in line
    for part in (shown.activity, f"{shown.measured:,}/{shown.expected:,}", "GB/s", "2:31 left"):
        assert part in line
    assert len(line) <= 76


def rendered(watcher: Bar) -> list[str]:
    """The lines of the bars as they are now."""
    with watcher._console.capture() as capture:
        watcher._console.print(watcher._bars.get_renderable())
    return capture.get().splitlines()


def test_a_phase_has_one_bar_however_often_it_comes() -> None:
    """Where the drive has slow spells, the races of both directions take turns."""
    pytest.importorskip("rich")
    watcher = Bar(io.StringIO())
    for measured in range(1, 5):
        for direction in ("read", "write"):
            watcher.update(progress(direction=direction, measured=measured))
    shown = [line.rstrip() for line in rendered(watcher)]
    assert [line.split(":")[0] for line in shown] == ["read 1/2", "write 1/2"]


def test_a_sweep_that_is_interrupted_leaves_the_bar_as_it_was() -> None:
    pytest.importorskip("rich")
    stream = io.StringIO()
    watcher = Bar(stream)
    watcher.__enter__()
    watcher.tick(Tick(phase="fill", bytes=256 * MIB, total_bytes=GIB))
    watcher.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    (line,) = [line for line in stream.getvalue().splitlines() if line.strip()]
    assert "256 MiB of 1 GiB" in line


def test_the_bar_does_not_take_names_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    shown = bar(scratch_target(path=Path("/mnt/[bold red]x[/]/:warning:")))
    assert "/mnt/[bold red]x[/]/:warning:" in shown
