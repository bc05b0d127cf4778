"""The history of a drive: what changed from sweep to sweep, and how `aio-tuned history` shows it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned import formatting
from aio_tuned.cli.main import main
from aio_tuned.errors import Exit
from aio_tuned.model.profile import Skipped
from aio_tuned.report.terminal import history, summary
from aio_tuned.report.terminal.history import Change, Gave, rows
from aio_tuned.storage import sweep_archive
from unit.support.builders import device_info, evidence, profile, read_only_profile, result, setting

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND, THIRD = "20260105T120000Z", "20260107T120000Z", "20260109T120000Z"


def of(*, low: int, at: int, high: int, depth: int = 16) -> object:
    return result(setting=setting(depth=depth), throughput_bytes_per_s=at, throughput_ci95_bytes_per_s=(low, high))


def test_of_the_first_sweep_nothing_has_changed() -> None:
    (row,) = rows({FIRST: profile()})
    assert row.sweep == FIRST
    assert (row.state, row.effort, row.points) == ("measured", "default", 508)
    assert (row.kernel, row.firmware) == ("6.8.0-45-generic", "5B2QGXA7")
    assert row.read == Gave(
        setting=setting(depth=16, threads=2),
        bytes_per_s=6_512_000_000,
        ci95_bytes_per_s=(6_480_000_000, 6_544_000_000),
    )
    assert (row.changes, row.findings_new, row.findings_gone) == ((), (), ())


def test_without_sweeps_there_are_no_rows() -> None:
    assert rows({}) == ()


@pytest.mark.parametrize(
    ("low", "at", "high", "change", "certain"),
    [
        (1000, 1050, 1100, 0.05, False),
        (1011, 1050, 1100, 0.05, True),
        (1010, 1050, 1100, 0.05, False),
        (900, 950, 989, -0.05, True),
        (900, 950, 990, -0.05, False),
        (990, 1000, 1010, 0.0, False),
        # Intervals that are apart are not enough: no drive gives the same to the percent from one sweep to the next.
        (1020, 1029, 1040, 0.029, False),
        (1020, 1031, 1040, 0.031, True),
        (960, 972, 980, -0.028, False),
        (960, 969, 980, -0.031, True),
    ],
)
def test_a_change_is_certain_beyond_both_intervals_and_three_percent(
    low: int, at: int, high: int, change: float, certain: bool
) -> None:
    before = profile(read=of(low=990, at=1000, high=1010))
    now = profile(read=of(low=low, at=at, high=high))
    _, row = rows({FIRST: before, SECOND: now})
    assert row.read is not None
    assert (row.read.change, row.read.certain) == (change, certain)


def course(*rates: int) -> list[bool]:
    """Whether each change from sweep to sweep is certain, for a drive with these figures and narrow intervals."""
    sweeps = {f"{number:02d}": profile(read=of(low=at - 1, at=at, high=at + 1)) for number, at in enumerate(rates)}
    return [row.read.certain for row in rows(sweeps) if row.read is not None]


def test_what_is_usual_for_the_drive_is_no_change() -> None:
    restless = (10_000, 10_500, 10_000)
    assert course(*restless) == [False, True, True], "two sweeps before it tell nothing of the drive"
    assert course(*restless, 10_500) == [False, True, True, False]
    assert course(*restless, 12_000)[-1]
    steady = (10_000, 10_010, 10_000)
    assert course(*steady, 10_090)[-1] is False, "below one percent nothing matters"
    assert course(*steady, 10_200)[-1], "three percent is for drives that are not known yet"
    assert course(*steady[:2], 10_200)[-1] is False


def test_one_real_change_does_not_hide_the_next() -> None:
    calm = (10_000, 10_010, 10_000, 10_010, 5_000, 5_005)
    assert course(*calm) == [False, False, False, False, True, False]
    assert course(*calm, 10_000)[-1]


def test_a_direction_that_was_left_out_of_a_sweep_keeps_what_is_usual() -> None:
    known = [profile(read=of(low=at - 1, at=at, high=at + 1)) for at in (10_000, 10_500, 10_000)]
    sweeps = [*known[:2], profile(read=Skipped(skipped="x")), known[2], known[1]]
    found = rows({str(number): each for number, each in enumerate(sweeps)})
    assert found[-1].read is not None
    assert (found[-1].read.change, found[-1].read.certain) == (0.05, False)


def chosen(depth: int, at: int, *challengers: tuple[int, int]) -> object:
    """A result of that depth, with challengers by their depths and shares."""
    rows_of = tuple((1 << 20, other, 1, 1, 0, share) for other, share in challengers)
    return replace(of(low=at - 1, at=at, high=at + 1, depth=depth), challengers=rows_of)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("before", "now", "alike"),
    [
        (chosen(16, 1000, (32, 9900)), chosen(32, 1000), True),
        (chosen(16, 1000), chosen(32, 1000, (16, 9801)), True),
        (chosen(16, 1000), chosen(32, 1000, (16, 9799)), False),
        (chosen(16, 1000), chosen(32, 1000), False),
    ],
)
def test_another_setting_that_is_as_good_says_so(before: object, now: object, alike: bool) -> None:
    found = rows({FIRST: profile(read=before), SECOND: profile(read=now)})
    (change,) = found[1].changes
    assert (change.what, change.alike) == ("read setting", alike)
    remark = " -> 1M 32 1 overlap batch (equivalent, within the tolerance)\n"
    assert (remark in history.plain("x", found) + "\n") is alike


def test_a_setting_that_is_as_good_is_no_change_for_the_worse() -> None:
    """Of a drive that changes little, the tolerance is more than the drive's own change."""
    steady = [profile(read=chosen(16, at)) for at in (10_000, 10_010, 10_000)]
    lower = profile(read=chosen(32, 9_850, (16, 10_100)))
    *_, row = rows({str(number): each for number, each in enumerate([*steady, lower])})
    assert row.read is not None
    assert row.read.certain is False
    *_, row = rows({str(number): each for number, each in enumerate([*steady, profile(read=chosen(32, 9_850))])})
    assert row.read is not None
    assert row.read.certain is True


@given(st.lists(st.integers(1, 1000), min_size=6, max_size=6))
def test_a_change_back_is_as_certain(numbers: list[int]) -> None:
    one, other = (
        profile(read=of(low=low, at=at, high=high)) for low, at, high in (sorted(numbers[:3]), sorted(numbers[3:]))
    )
    _, there, back = rows({FIRST: one, SECOND: other, THIRD: one})
    assert there.read is not None
    assert back.read is not None
    assert there.read.certain == back.read.certain


def test_each_is_held_against_the_one_before() -> None:
    read_only = read_only_profile()
    first, second, third = rows({FIRST: profile(), SECOND: read_only, THIRD: profile()})
    assert (second.write, third.write and third.write.change) == (None, None)
    assert first.write is not None
    assert [change.what for change in second.changes] == ["write setting", "combined setting"]
    assert second.changes[0] == Change(what="write setting", before="1M 4 1 overlap batch", after="none")
    assert third.changes[0] == Change(what="write setting", before="none", after="1M 4 1 overlap batch")


def test_what_the_numbers_depend_on_is_told() -> None:
    before = profile()
    now = profile(
        fingerprint=replace(before.fingerprint, kernel="6.12", firmware="5B2QGXA8", scheduler="", nr_requests=64),
        device=device_info(firmware="5B2QGXA8"),
        evidence=evidence(kernel="6.12.1"),
    )
    _, row = rows({FIRST: before, SECOND: now})
    assert set(row.changes) == {
        Change(what="kernel", before="6.8", after="6.12"),
        Change(what="firmware", before="5B2QGXA7", after="5B2QGXA8"),
        Change(what="scheduler", before="none", after="unknown"),
        Change(what="nr_requests", before="1023", after="64"),
    }
    assert (row.kernel, row.firmware) == ("6.12.1", "5B2QGXA8")


def test_a_key_of_the_host_that_the_earlier_profile_lacks_has_not_changed() -> None:
    first = profile()
    second = replace(first, fingerprint=replace(first.fingerprint, cpus=64, thp="madvise"))
    third = replace(first, fingerprint=replace(first.fingerprint, cpus=32, thp="madvise"))
    _, after_upgrade, after_change = rows({FIRST: first, SECOND: second, THIRD: third})
    assert after_upgrade.changes == ()
    assert after_change.changes == (Change(what="cpus", before="64", after="32"),)


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("read: drifted by -9% during the phase", "read: drifted by +10.5% during the phase", True),
        (
            "write: fell after 1.5G from 2.10 GB/s to 950 MB/s",
            "write: fell after 512M from 1.80 GB/s to 1.02 GB/s",
            True,
        ),
        ("the drive reached 71 °C", "the drive reached 80.5 °C", True),
        ("read: drifted by -9%", "write: drifted by -9%", False),
        ("paused once because of heat", "paused 3 times because of heat", False),
    ],
)
def test_findings_are_the_same_whatever_their_figures(before: str, now: str, same: bool) -> None:
    _, row = rows(
        {FIRST: profile(evidence=evidence(findings=(before,))), SECOND: profile(evidence=evidence(findings=(now,)))}
    )
    assert (row.findings_new, row.findings_gone) == (((), ()) if same else ((now,), (before,)))


def test_what_kind_of_sweep_it_was() -> None:
    check = profile(evidence=evidence(checked_against="nvme-sibling", effort=None))
    quick = profile(evidence=evidence(effort="quick"), state="provisional")
    assert [(row.effort, row.state) for row in rows({FIRST: check, SECOND: quick})] == [
        ("check", "measured"),
        ("quick", "provisional"),
    ]


# --- as a person sees it ---------------------------------------------------------------------------------


def test_the_table_and_what_stands_below_it() -> None:
    now = profile(
        read=of(low=7_000_000_000, at=7_100_000_000, high=7_200_000_000),
        evidence=evidence(findings=("write: something else",)),
    )
    shown = history.plain("nvme-x", rows({FIRST: profile(), SECOND: now}))
    title, blank, head, first, second, *rest = shown.splitlines()
    assert (title, blank) == ("nvme-x", "")
    assert head.split() == [
        *("sweep", "state", "effort", "kernel", "firmware", "read", "setting", "write", "setting"),
    ]
    assert first.split()[:2] == [FIRST, "measured"]
    assert "6.51 GB/s          1M 16 2 overlap batch" in first
    assert "7.10 GB/s  +9.0%*  1M 16 1 overlap batch" in second
    assert "3.95 GB/s  +0.0%  1M 4 1 overlap batch" in second
    assert rest == [
        "",
        (
            "* significant: the 95 % intervals do not overlap, and the change exceeds the drive's usual change"
            " (3 % for a drive with fewer than three earlier sweeps)"
        ),
        "",
        f"{SECOND}, compared with the previous sweep:",
        "  read setting: 1M 16 2 overlap batch -> 1M 16 1 overlap batch",
        "  new finding: write: something else",
        "  no longer found: read: something was noticed",
    ]


def test_where_nothing_has_changed_nothing_stands_below() -> None:
    assert len(history.plain("nvme-x", rows({FIRST: profile(), SECOND: profile()})).splitlines()) == 5


def test_on_a_terminal_certain_changes_are_coloured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"TERM": "xterm-256color", "FORCE_COLOR": "1", "COLUMNS": "250"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    faster = profile(read=of(low=7_000_000_000, at=7_100_000_000, high=7_200_000_000))
    found = rows({FIRST: profile(), SECOND: faster, THIRD: profile()})
    history.show("nvme-x", found)
    shown = capsys.readouterr().out
    assert "\x1b[32m+9.0%*" in shown
    assert "\x1b[31m-8.3%*" in shown
    assert f"{THIRD}, compared with the previous sweep:" in shown
    history.show_drives({"nvme-x": found})
    assert "nvme-x" in capsys.readouterr().out


def test_without_rich_it_is_plain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert summary.terminal() is None
    history.show("nvme-x", rows({FIRST: profile()}))
    assert capsys.readouterr().out == history.plain("nvme-x", rows({FIRST: profile()})) + "\n"


@pytest.mark.parametrize(
    ("share", "said"), [(-0.0004, "+0.0%"), (0.0, "+0.0%"), (-0.0006, "-0.1%"), (0.0904, "+9.0%"), (-0.5, "-50.0%")]
)
def test_no_share_is_below_zero_and_zero(share: float, said: str) -> None:
    assert formatting.percent(share) == said
    slower = round(6_512_000_000 * (1 + share))
    _, row = rows({FIRST: profile(), SECOND: profile(read=of(low=1, at=slower, high=slower))})
    assert row.read is not None
    assert row.read.change == pytest.approx(share, abs=1e-4)
    assert f"  {said}" in history.plain(
        "nvme-x", rows({FIRST: profile(), SECOND: profile(read=of(low=1, at=slower, high=slower))})
    )


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    path = tmp_path / "aio-tuned.conf"
    path.write_text(f'[paths]\nprofiles = "{tmp_path}/etc"\nstate = "{tmp_path}/var"\n')
    return ["--config", str(path), "history"]


@pytest.fixture
def known(tmp_path: Path) -> str:
    """The name of a drive that was swept twice, beside one that was swept once."""
    for day, at in ((5, 6_500_000_000), (7, 6_500_000_000)):
        about = evidence(measured_at=f"2026-01-0{day}T12:00:00+00:00")
        sweep_archive.keep(tmp_path / "var", profile(evidence=about, read=of(low=at, at=at, high=at)), "")
    sweep_archive.keep(
        tmp_path / "var", profile(device=device_info(name="nvme-b"), write=read_only_profile().write), ""
    )
    return device_info().name


def test_history_of_a_drive_that_is_not_there(words: list[str], known: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, known]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == known
    assert [line.split()[0] for line in shown[3:]] == [FIRST, SECOND]


def test_history_of_all_is_a_line_each(words: list[str], known: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["drive", "sweeps", "last", "state", "read", "write"]
    assert first.split() == [known, "2", SECOND, "measured", "6.50", "GB/s", "3.95", "GB/s"]
    assert second.split()[:2] == ["nvme-b", "1"]
    assert second.split()[-1] == "-"


def test_history_as_json(words: list[str], known: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json"]) == 0
    everything = json.loads(capsys.readouterr().out)
    assert [one["drive"] for one in everything] == [known, "nvme-b"]
    assert main([*words, known, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one == everything[0]
    assert [sweep["sweep"] for sweep in one["sweeps"]] == [FIRST, SECOND]
    assert one["sweeps"][1]["read"]["change"] == 0.0
    assert one["sweeps"][1]["read"]["setting"]["queue_depth"] == 16


def test_a_torn_file_does_not_hide_the_others(
    tmp_path: Path, words: list[str], known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = sweep_archive.list_sweeps(tmp_path / "var", known)[0]
    torn.write_text("")
    assert main([*words, known]) == Exit.DATA
    shown = capsys.readouterr()
    assert SECOND in shown.out
    assert FIRST not in shown.out
    assert str(torn) in shown.err


def test_where_there_is_none_it_says_what_to_do(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == Exit.TARGET
    assert f"{tmp_path}/var: no finished sweeps; run aio-tuned tune" in capsys.readouterr().err
    assert main([*words, "nvme-none"]) == Exit.TARGET
    assert "nvme-none: neither a path nor a drive" in capsys.readouterr().err


def test_a_time_is_not_for_history(words: list[str], known: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, f"{known}@20260105"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert f"{known}@20260105: history lists all sweeps; leave out @TIME: {known}" in said


def test_out_is_another_place(tmp_path: Path, words: list[str], known: str, capsys: pytest.CaptureFixture[str]) -> None:
    sweep_archive.keep(tmp_path / "out", profile(), "")
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == [known, "1"]
