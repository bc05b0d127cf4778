from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.model.profile import Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.report.terminal import curve_table, summary
from unit.support.builders import (
    consumer_profile,
    curve,
    device_info,
    evidence,
    never_measured_profile,
    profile,
    read_only_profile,
    result,
    setting,
    stats,
)

if TYPE_CHECKING:
    from aio_tuned.model.curve import Curve

KIB = 1 << 10
SURFACE = curve(
    stats(2.0e9, setting(block=128 * KIB, depth=4, threads=1), visits=1),
    stats(3.0e9, setting(block=128 * KIB, depth=4, threads=2), visits=1),
    stats(4.0e9, setting(block=128 * KIB, depth=8), setting(block=256 * KIB, depth=8), visits=1),
    stats(6.5e9, setting(block=256 * KIB, depth=16), visits=1),
)


def test_the_heat_map_has_the_best_over_threads_and_modes_of_every_alias() -> None:
    found = summary.heat_map(profile(), SURFACE)
    assert found.blocks == (128 * KIB, 256 * KIB)
    assert found.depths == (4, 8, 16)
    assert found.cells == {
        (128 * KIB, 4): 3.0e9,
        (128 * KIB, 8): 4.0e9,
        (256 * KIB, 8): 4.0e9,
        (256 * KIB, 16): 6.5e9,
    }


def test_the_heat_map_of_nothing() -> None:
    found = summary.heat_map(profile(), curve())
    assert (found.blocks, found.depths, found.cells, found.chosen) == ((), (), {}, None)


def test_the_heat_map_marks_the_chosen_pair_and_says_what_its_figures_are() -> None:
    chosen = profile(read=result(setting=setting(block=128 * KIB, depth=4, threads=1)))
    found = summary.heat_map(chosen, SURFACE)
    assert found.chosen == (128 * KIB, 4)
    assert found.title == (
        "read GB/s: best of each block size and queue depth, each measured once, in transfers of 64 MiB; [chosen]"
    )
    # The figure of the pair is not the setting's own, which is slower.
    assert [found.text(128 * KIB, depth) for depth in (4, 8, 16)] == ["[3.00]", "4.00", "-"]
    writes = summary.heat_map(chosen, replace(SURFACE, direction="write"))
    assert writes.chosen is None, "the setting for writes is in no cell"
    assert "[" not in writes.title
    assert summary.heat_map(never_measured_profile(), SURFACE).chosen is None


def test_the_plain_summary() -> None:
    assert summary.plain(profile(), [SURFACE]).splitlines() == [
        "nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1: measured",
        "Samsung SSD 980 PRO 1TB  S5GXNF0R123456  5B2QGXA7  1.00 TB  16.0 GT/s x4",
        "",
        (
            "          throughput      95 % interval      block_size  queue_depth  io_parallelism  overlap_events"
            "  single_submit  p99 latency  over the default"
        ),
        (
            "read      6.51 GB/s       6.48 to 6.54 GB/s  1M          16           2               true          "
            "  false          1.21 ms      +10 % (5.90 GB/s)"
        ),
        (
            "write     3.95 GB/s       6.48 to 6.54 GB/s  1M          4            1               true          "
            "  false          1.21 ms      +10 % (5.90 GB/s)"
        ),
        ("combined  6.40 GB/s read  3.90 GB/s write    1M          16           1               true            false"),
        "",
        "read GB/s: best of each block size and queue depth, each measured once, in transfers of 64 MiB",
        "block \\ depth  4     8     16",
        "128K           3.00  4.00  -",
        "256K           -     4.00  6.50",
        "",
        "1,026 measurements of 508 settings in 2:31; read 931.3 GiB, wrote 8 GiB",
        "read: measurements vary by 0.6 %, drift -0.2 %",
        "write: measurements vary by 0.9 %, drift +0.8 %",
        *(
            line
            for name in ("read", "write")
            for line in (
                f"{name}: at most 1.6 % below the best (95 % confidence); settled, stopped because the choice is clear",
                (
                    f"{name}: 10.4 % above the default setting (+9.8 to +10.9 %, 95 % confidence);"
                    " 40 other settings are probably as good (within 2 % of the best)"
                ),
            )
        ),
        "combined: 98 % of the best read throughput, 99 % of the best write throughput",
        "! read: something was noticed",
    ]


def test_a_kept_setting_says_from_where() -> None:
    shown = summary.plain(profile(read=result(kept_from="nvme-B_1"), write=result(kept_from="earlier")), ())
    assert "\nread: kept from nvme-B_1\n" in shown
    assert "\nwrite: kept from the earlier sweep\n" in shown


def test_what_was_skipped_says_why() -> None:
    lines = summary.plain(read_only_profile("not mounted"), []).splitlines()
    assert "write: not measured: not mounted" in lines
    assert not [line for line in lines if line.startswith(("write  ", "combined", "write: measurements"))]


def test_what_was_not_measured_says_so_and_has_no_course() -> None:
    made = replace(never_measured_profile(), write=Unmeasured(setting=setting(depth=32), overridden=("queue_depth",)))
    assert summary.plain(made, []).splitlines()[3:] == [
        (
            "          throughput    95 % interval  block_size  queue_depth  io_parallelism  overlap_events"
            "  single_submit  p99 latency  over the default"
        ),
        "read      not measured                 1M          8            1               true            false",
        ("write     not measured                 1M          32           1               true            false"),
        "combined  not measured                 1M          8            1               true            false",
        "",
        "write: set by the administrator: queue_depth",
    ]


def test_what_befell_the_sweep_is_told() -> None:
    made = replace(
        profile(),
        evidence=evidence(temperature_peak_c=61.4, paused_seconds=70.0, resumed=2, checked_against="nvme-other_1"),
    )
    lines = summary.plain(made, []).splitlines()
    assert "check of the settings of nvme-other_1, not a full sweep" in lines
    assert "paused for 1:10, resumed 2 times, 61 °C peak" in lines
    quiet = replace(profile(), evidence=evidence(paused_seconds=0.0, resumed=0))
    assert summary.plain(quiet, []) == summary.plain(profile(), [])


def test_values_are_as_a_configuration_has_them() -> None:
    chosen = setting(overlap=False, single=True)
    made = replace(profile(), read=result(setting=chosen))
    assert summary.rows(made)[0][3:8] == ("1M", "8", "1", "false", "true")
    assert summary.setting_words(chosen)[3:] == ("sequential", "single")


@pytest.mark.parametrize(
    ("at", "low", "high", "shown"),
    [
        (244_000_000, 180_000_000, 340_000_000, ("244 MB/s", "180 to 340 MB/s")),
        (990_000_000, 900_000_000, 1_080_000_000, ("990 MB/s", "900 to 1080 MB/s")),
        (1_010_000_000, 900_000_000, 1_120_000_000, ("1.01 GB/s", "0.90 to 1.12 GB/s")),
    ],
)
def test_a_throughput_and_its_interval_have_one_unit(at: int, low: int, high: int, shown: tuple[str, str]) -> None:
    made = profile(read=result(throughput_bytes_per_s=at, throughput_ci95_bytes_per_s=(low, high)))
    assert summary.rows(made)[0][1:3] == shown


@pytest.mark.parametrize(("visits", "rate", "shown"), [(1, 6.5e9, True), (2, 6.5e9, False), (1, 6.4e9, False)])
def test_one_measurement_has_no_interval(visits: int, rate: float, shown: bool) -> None:
    """Its interval is that of the noise of all: 1.77 to 2.14 GB/s between neighbours with 3.17 GB/s."""
    chosen = setting(depth=16)
    made = profile(read=result(setting=chosen, throughput_bytes_per_s=6_500_000_000))
    curves = [curve(stats(rate, chosen, visits=visits))]
    assert (summary.rows(made, curves)[0][2] == "one measurement") is shown
    assert ("one measurement" in summary.plain(made, curves)) is shown


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "+10 % (5.90 GB/s)"),
        ({"versus_default_percent": -0.4}, "+0 % (5.90 GB/s)"),
        ({"versus_default_percent": -3.2}, "-3 % (5.90 GB/s)"),
        ({"setting": DEFAULT_SETTING}, "is the default"),
        ({"default_throughput_bytes_per_s": 0}, "not measured"),
    ],
)
def test_the_gain_over_the_default_stands_in_the_table(changes: dict[str, Any], says: str) -> None:
    assert summary.rows(profile(read=result(**changes)))[0][-1] == says


def test_what_to_paste_has_each_setting_once() -> None:
    made = profile(
        read=result(setting=setting(depth=16)),
        write=result(setting=setting(block=128 * KIB, overlap=False, single=True)),
    )
    assert summary.to_paste(made, "aio-tuned export deepspeed /mnt/nvme") == [
        "# combined, read",
        "block_size = 1048576",
        "queue_depth = 16",
        "io_parallelism = 1",
        "overlap_events = true",
        "single_submit = false",
        "",
        "# write",
        "block_size = 131072",
        "queue_depth = 8",
        "io_parallelism = 1",
        "overlap_events = false",
        "single_submit = true",
        "",
        "aio-tuned export deepspeed /mnt/nvme",
    ]


def test_what_to_paste_has_no_skipped_section() -> None:
    assert [line for line in summary.to_paste(read_only_profile(), "x") if line.startswith("#")] == ["# read"]


def test_without_a_measured_default_there_is_no_gain() -> None:
    made = replace(profile(), read=result(default_throughput_bytes_per_s=0))
    assert summary.rows(made)[0][-1] == "not measured"


def test_a_sweep_that_took_no_time_divides_by_nothing() -> None:
    made = replace(profile(), evidence=evidence(seconds=0.0, io_seconds=0.0))
    assert " settings in 0:00; " in summary.plain(made, [])


@pytest.mark.parametrize("curves", [(), (SURFACE,), (curve(),), (SURFACE, replace(SURFACE, direction="write"))])
def test_plain_text_has_no_colour(curves: tuple[Curve, ...], capsys: pytest.CaptureFixture[str]) -> None:
    summary.show(profile(), curves)
    shown = capsys.readouterr().out
    assert shown == summary.plain(profile(), curves) + "\n"
    assert "\x1b" not in shown


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_the_same_words(colour: bool, width: int) -> None:
    console = pytest.importorskip("rich.console")
    stream = io.StringIO()
    chosen = result(setting=setting(block=128 * KIB, depth=4, threads=1))
    made = profile(read=chosen, device=device_info(model="[bold]x[/] :warning:"))
    summary._print_rich(
        console.Console(
            file=stream,
            force_terminal=colour,
            color_system="truecolor" if colour else None,
            width=width,
            _environ={"TERM": "xterm-256color"},
        ),
        made,
        [SURFACE],
    )
    shown = stream.getvalue()
    assert ("\x1b[" in shown) is colour
    assert "…" not in shown, "nothing may be cut off"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= width
    for word in (
        "[bold]x[/] :warning:",
        "6.51 GB/s",
        "+10 % (5.90 GB/s)",
        "! read: something was noticed",
        "6.50",
        "[chosen]",
    ):
        assert word in shown


@pytest.mark.parametrize(("share", "style"), [(1.0, "black on rgb(30,180,70)"), (0.5, "black on rgb(200,40,70)")])
def test_colours_go_from_red_to_green(share: float, style: str) -> None:
    assert summary._colour(share) == style
    assert summary._colour(0.0) == summary._colour(0.5)


def test_a_poor_choice_and_a_thorough_sweep_say_so() -> None:
    certain = result(regret95_percent=1.74, sustained_throughput_bytes_per_s=1_400_000_000)
    poor = result(
        regret95_percent=37.26,
        confidence="low",
        stopped_because="the write budget ran out",
        probability_within_tolerance=0.2,
    )
    shown = summary.plain(profile(read=poor, write=certain, evidence=evidence(effort="thorough")), ()).splitlines()
    assert "read: at most 37 % below the best (95 % confidence); low, stopped because the write budget ran out" in shown
    assert any(
        line.endswith("some other setting is probably more than 2 % faster, but it is not known which")
        for line in shown
        if line.startswith("read: ")
    )
    assert "write: 1.40 GB/s sustained" in shown
    assert "thorough sweep" in shown


def test_files_of_schema_1_say_nothing_of_certainty() -> None:
    unknown = dict.fromkeys(
        (
            "confidence",
            "regret95_percent",
            "probability_within_tolerance",
            "versus_default_percent",
            "versus_default_ci95_percent",
            "stopped_because",
            "tolerance_percent",
            "challengers",
        )
    )
    shown = summary.plain(profile(read=result(**unknown), write=result(**unknown)), ())
    assert "read: 10.4 % above the default setting; one of 41 equivalent settings\n" in shown
    assert "confidence" not in shown
    assert "sustained" not in shown


def test_the_short_table_by_request_size_follows_a_sweep() -> None:
    """`show` has longer ones (consumers.lines)."""
    after = summary.plain(consumer_profile(), [SURFACE])
    assert (
        f"\n{curve_table.TITLE}\n"
        "size  io_uring read  io_uring write  psync read  psync write\n"
        "4K    256   3.25     256   1.95      256   3.10  256   1.85\n"
    ) in after
    assert curve_table.TITLE not in summary.plain(consumer_profile(), [])
    assert curve_table.TITLE not in summary.plain(profile(), [SURFACE])
