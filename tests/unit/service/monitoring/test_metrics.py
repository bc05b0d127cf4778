from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aio_tuned.model.profile import Skipped, Unmeasured
from aio_tuned.service.monitoring import metrics, prometheus
from aio_tuned.service.state_machine import Stage
from aio_tuned.service.status import ExportStatus
from unit.support.builders import (
    CURVES,
    PROJECT,
    consumer_profile,
    device,
    evidence,
    never_measured_profile,
    read_only_profile,
    result,
    setting,
)
from unit.support.snapshots import SINCE, SWEEPING, known, seen, snapshot, state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.service.monitoring.snapshot import DriveSnapshot

NOW_S = 1_763_900_000.25
ALL: tuple[metrics.Metric[Any], ...] = (
    metrics.UP,
    metrics.WRITTEN,
    metrics.BUILD,
    *metrics.OF_DAEMON,
    *metrics.OF_DRIVE,
)
MONITORING = PROJECT / "docs/monitoring"
PAGE = PROJECT / "docs/reference/metrics.md"
A, B = "nvme-A_1", "nvme-B_1"
EXPORT = ExportStatus(consumer="kvikio", path="/mnt/x", file="/a", state="settings", device=A)


def series(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """The values by metric and labels; no series may be there twice."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            of_metric = found.setdefault(sample.name, {})
            labels = tuple(sample.labels.items())
            assert labels not in of_metric
            of_metric[labels] = sample.value
    return found


def of(drive: DriveSnapshot, name: str) -> dict[Any, float]:
    """One metric of one drive, by the value of its other label, () if it has none."""
    found = series(prometheus.render(snapshot(drive), NOW_S)).get(f"aio_tuned_{name}", {})
    values = {}
    for labels, value in found.items():
        rest = [text for key, text in labels if key != "device"]
        values[rest[0] if len(rest) == 1 else tuple(rest)] = value
    return values


# --- the daemon ------------------------------------------------------------------------------------------


def test_of_the_daemon() -> None:
    found = series(prometheus.render(snapshot(troubles=("a", "b")), NOW_S))
    assert found == {
        "aio_tuned_up": {(): 1},
        "aio_tuned_metrics_write_timestamp_seconds": {(): NOW_S},
        "aio_tuned_build_info": {(("version", "0.1.0"),): 1},
        "aio_tuned_start_time_seconds": {(): datetime.fromisoformat(SINCE).timestamp()},
        "aio_tuned_troubles": {(): 2},
    }


def test_what_the_files_of_rules_have() -> None:
    failed = replace(EXPORT, file="/b", state="failed")
    found = series(prometheus.render(snapshot(exports=(EXPORT, failed)), NOW_S))["aio_tuned_export_state"]
    by_file = {(dict(labels)["file"], dict(labels)["state"]): value for labels, value in found.items()}
    assert by_file == {
        **{("/a", state): float(state == "settings") for state in ("settings", "defaults", "failed")},
        **{("/b", state): float(state == "failed") for state in ("settings", "defaults", "failed")},
    }
    assert {(dict(labels)["consumer"], dict(labels)["path"]) for labels in found} == {("kvikio", "/mnt/x")}


def test_what_a_daemon_leaves_behind() -> None:
    assert series(prometheus.farewell("0.1.0", NOW_S)) == {
        "aio_tuned_up": {(): 0},
        "aio_tuned_metrics_write_timestamp_seconds": {(): NOW_S},
        "aio_tuned_build_info": {(("version", "0.1.0"),): 1},
    }


# --- a drive ---------------------------------------------------------------------------------------------


def test_what_a_drive_is() -> None:
    drive = device()
    ((labels, value),) = series(prometheus.render(snapshot(seen()), NOW_S))["aio_tuned_drive_info"].items()
    assert value == 1
    assert dict(labels) == {
        "device": drive.name,
        "node": "/dev/nvme0n1",
        "model": drive.model,
        "serial": drive.serial,
        "firmware": drive.firmware,
        "transport": "pcie",
        "pcie_link": "16.0 GT/s x4",
    }
    assert of(seen(), "drive_size_bytes") == {(): drive.size_bytes}


@pytest.mark.parametrize("stage", list(Stage))
def test_one_stage_is_1(stage: Stage) -> None:
    assert of(seen(state=state(stage.value)), "drive_stage") == {one.value: float(one is stage) for one in Stage}


@pytest.mark.parametrize("state", ["measured", "provisional", "stale"])
def test_one_state_is_1(state: str) -> None:
    shown = known(state=state)
    expected = dict.fromkeys(("provisional", "measured", "stale", "none"), 0.0)
    assert of(seen(shown=shown), "profile_state") == {**expected, state: 1}
    unwritten = seen(shown=shown, published=None)
    assert of(unwritten, "profile_state") == {**expected, "none": 1}


def test_failures_and_the_next_try() -> None:
    drive = seen(state=state("failed", failures=3), next_try="2025-11-23T12:01:00+00:00")
    assert of(drive, "drive_consecutive_failures") == {(): 3}
    assert of(drive, "drive_next_try_timestamp_seconds") == {(): datetime.fromisoformat(drive.next_try).timestamp()}
    assert of(seen(), "drive_consecutive_failures") == {(): 0}
    assert of(seen(), "drive_next_try_timestamp_seconds") == {}


def test_a_sweep_that_goes_on() -> None:
    drive = seen(state=state("sweeping"), sweeping=SWEEPING)
    assert of(drive, "sweep_progress_ratio") == {(): 0.25}
    assert of(drive, "sweep_paused") == {(): 0}
    paused = replace(drive, sweeping=replace(SWEEPING, share=0.0, paused="others use the drive"))
    assert of(paused, "sweep_progress_ratio") == {(): 0}
    assert of(paused, "sweep_paused") == {(): 1}
    over = replace(drive, state=state())
    assert of(over, "sweep_progress_ratio") == of(over, "sweep_paused") == {}


def test_what_is_counted() -> None:
    assert of(seen(), "sweeps_total") == {"finished": 2, "failed": 1, "deferred": 0}
    assert of(seen(), "sweep_written_bytes_total") == {(): 8 << 30}
    assert of(seen(page_cache_drops=3), "page_cache_drops_total") == {(): 3}
    text = prometheus.render(snapshot(seen()), NOW_S)
    assert "# TYPE aio_tuned_sweeps_total counter\n" in text
    assert "# TYPE aio_tuned_sweep_written_bytes_total counter\n" in text


# --- its profile -----------------------------------------------------------------------------------------


def test_when_and_how_long_it_was_measured() -> None:
    assert of(seen(), "profile_measured_timestamp_seconds") == {(): datetime.fromisoformat(SINCE).timestamp()}
    assert of(seen(), "profile_sweep_seconds") == {(): 151.2}
    assert of(seen(), "profile_sweep_io_seconds") == {(): 120.5}
    assert of(seen(), "profile_temperature_peak_celsius") == {(): 61}
    assert of(seen(shown=known(evidence=evidence())), "profile_temperature_peak_celsius") == {}


def test_what_the_settings_give() -> None:
    full = result(regret95_percent=1.4, versus_default_percent=-0.5, sustained_throughput_bytes_per_s=900_000_000)
    old = result(default_throughput_bytes_per_s=0, regret95_percent=None, versus_default_percent=None, confidence=None)
    drive = seen(shown=known(read=full, write=old))
    expected = {
        "throughput_bytes_per_second": {"read": 6_512_000_000, "write": 6_512_000_000},
        "throughput_low_bytes_per_second": {"read": 6_480_000_000, "write": 6_480_000_000},
        "throughput_high_bytes_per_second": {"read": 6_544_000_000, "write": 6_544_000_000},
        "default_throughput_bytes_per_second": {"read": 5_900_000_000},
        "sustained_throughput_bytes_per_second": {"read": 900_000_000},
        "regret95_ratio": {"read": 0.014},
        "versus_default_ratio": {"read": -0.005},
        "confidence": {"read": 2},
    }
    assert {name: of(drive, f"profile_{name}") for name in expected} == expected


@pytest.mark.parametrize(("confidence", "number"), [("low", 0), ("bounded", 1), ("settled", 2)])
def test_how_sure_the_choice_is(confidence: str, number: int) -> None:
    drive = seen(shown=known(write=result(confidence=confidence)))
    assert of(drive, "profile_confidence") == {"read": 2, "write": number}


def test_the_settings() -> None:
    expected = {
        "block_size_bytes": {"read": 1 << 20, "write": 1 << 20, "combined": 1 << 20},
        "queue_depth": {"read": 16, "write": 16, "combined": 16},
        "io_parallelism": {"read": 2, "write": 2, "combined": 1},
        "overlap_events": {"read": 1, "write": 1, "combined": 1},
        "single_submit": {"read": 0, "write": 0, "combined": 0},
    }
    assert {name: of(seen(), f"setting_{name}") for name in expected} == expected


def test_curves_have_three_sizes_of_each_engine_and_direction() -> None:
    drive = seen(shown=consumer_profile())
    in_flight, rate = of(drive, "curve_in_flight"), of(drive, "curve_throughput_bytes_per_second")
    assert set(in_flight) == set(rate)
    assert len(rate) == len(CURVES) * 3
    assert [in_flight["read", "psync", size] for size in ("64K", "256K", "1M")] == [32, 8, 2]
    assert rate["write", "io_uring", "256K"] == 3_900_000_000
    assert ("mixed", "psync", "64K") in rate
    fewer = replace(CURVES[0], points=tuple(point for point in CURVES[0].points if point.request_bytes != 256 << 10))
    assert set(of(seen(shown=known(curves=(fewer,))), "curve_in_flight")) == {
        ("read", "io_uring", "64K"),
        ("read", "io_uring", "1M"),
    }
    assert of(seen(), "curve_in_flight") == of(seen(shown=None, published=None), "curve_in_flight") == {}


def test_a_direction_that_was_skipped_has_nothing() -> None:
    drive = seen(shown=read_only_profile())
    assert of(drive, "setting_queue_depth") == {"read": 16}
    assert of(drive, "profile_throughput_bytes_per_second") == {"read": 6_512_000_000}


def test_a_drive_that_was_never_measured_has_settings_and_no_figures() -> None:
    drive = seen(shown=never_measured_profile())
    assert of(drive, "setting_queue_depth") == {"read": 8, "write": 8, "combined": 8}
    found = series(prometheus.render(snapshot(drive), NOW_S))
    of_profile = {name for name in found if name.startswith("aio_tuned_profile_")}
    assert of_profile == {f"aio_tuned_profile_{name}" for name in ("state", "overridden", "findings")}


def test_an_overridden_section_has_its_setting_and_no_figure() -> None:
    changed = Unmeasured(setting=setting(depth=3), overridden=("queue_depth",))
    drive = seen(published=known(read=changed), overridden=True)
    assert of(drive, "profile_overridden") == {(): 1}
    assert of(drive, "setting_queue_depth") == {"read": 3, "write": 16, "combined": 16}
    assert set(of(drive, "profile_throughput_bytes_per_second")) == {"write"}
    assert of(seen(), "profile_overridden") == {(): 0}


def test_without_a_profile_there_is_only_the_state() -> None:
    found = series(prometheus.render(snapshot(seen(shown=None, published=None)), NOW_S))
    names = {name for name in found if name.startswith(("aio_tuned_profile_", "aio_tuned_setting_"))}
    assert names == {"aio_tuned_profile_state"}


def test_findings_by_what_they_are_about() -> None:
    said = ("read: slow", "read: slower", "the drive reached 80 °C: cool it better", "readers: none")
    drive = seen(shown=known(evidence=evidence(findings=said)))
    assert of(drive, "profile_findings") == {"read": 2, "write": 0, "drive": 2}


def test_a_drive_and_its_siblings() -> None:
    siblings = tuple(known(f"nvme-T_{place}", rate) for place, rate in enumerate((4 * 10**9, 10**9, 5 * 10**9)))
    drive = seen(shown=known(bytes_per_s=3 * 10**9), siblings=siblings)
    assert of(drive, "profile_sibling_ratio") == {"read": 0.75, "write": 0.75}
    assert of(drive, "profile_siblings") == {"read": 3, "write": 3}
    assert of(replace(drive, siblings=siblings[:2]), "profile_sibling_ratio")["read"] == pytest.approx(3 / 2.5)
    for nothing in (
        replace(drive, siblings=()),
        seen(shown=known(state="stale"), siblings=siblings),
        seen(shown=known(read=Skipped(skipped="x"), write=Skipped(skipped="x")), siblings=siblings),
        seen(shown=known(fingerprint=replace(known().fingerprint, filesystem="xfs")), siblings=siblings),
        seen(shown=None, published=None, siblings=siblings),
    ):
        assert of(nothing, "profile_sibling_ratio") == of(nothing, "profile_siblings") == {}


# --- the text --------------------------------------------------------------------------------------------


def test_each_drive_has_its_own() -> None:
    found = series(prometheus.render(snapshot(seen(A), seen(B)), NOW_S))
    assert set(found["aio_tuned_drive_size_bytes"]) == {(("device", A),), (("device", B),)}
    assert len(found["aio_tuned_drive_stage"]) == 2 * len(Stage)


def test_of_two_that_say_they_are_the_same_the_first_counts() -> None:
    """node_exporter rejects the whole file if one series occurs twice."""
    first, second = seen(A, state=state("sweeping")), seen(A, state=state("skipped"))
    found = series(prometheus.render(snapshot(first, second), NOW_S))
    assert found["aio_tuned_drive_stage"][("device", A), ("stage", "sweeping")] == 1


def test_names_that_would_break_the_file() -> None:
    model = 'A "quoted" \\ back\nslash\r\tMüller \udcff\x00{}'
    drive = seen(A, device=device(name='x"\n\\', model=model))
    text = prometheus.render(snapshot(drive), NOW_S)
    text.encode("utf-8")
    (labels,) = series(text)["aio_tuned_drive_info"]
    assert dict(labels)["device"] == 'x"\n\\'
    assert dict(labels)["model"] == model.replace("\udcff", "?")


def test_the_names_follow_the_conventions() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)
    for metric in ALL:
        assert re.fullmatch(r"aio_tuned_[a-z0-9]+(_[a-z0-9]+)*", metric.name)
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert metric.text.endswith(".")


def test_importing_needs_no_prometheus_client() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; import aio_tuned.service.monitoring.status_publisher"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(PROJECT / "daemon"), "PATH": "/usr/bin:/bin"}
    )


# --- the documents ---------------------------------------------------------------------------------------


def lines() -> list[str]:
    """Return the part of the page on the daemon; tests/unit/fleet/test_fleet_metrics.py reads the other one."""
    return PAGE.read_text().partition("\n## The fleet\n")[0].splitlines()


def table() -> Iterator[tuple[str, str, list[str], str]]:
    for line in lines():
        if row := re.fullmatch(r"\| `(\w+)` \| (\w+) \| (.*) \| (.+) \|", line):
            yield row[1], row[2], re.findall(r"`(\w+)`", row[3]), row[4]


def test_the_page_has_every_metric() -> None:
    rows = {name: (kind, labels) for name, kind, labels, _ in table()}
    assert rows == {
        metric.name: (metric.kind, [*(metrics.DEVICE if metric in metrics.OF_DRIVE else ()), *metric.labels])
        for metric in ALL
    }
    assert [text for *_, text in table()] == [metric.text for metric in ALL]


def test_the_page_has_every_value_of_a_label() -> None:
    found = series(prometheus.render(snapshot(seen(), exports=(EXPORT,)), NOW_S))
    for line in lines():
        if row := re.match(r"\| `(\w+)` .* `(\w+)` \(([a-z, ]+)\) \|", line):
            name, label, values = row.groups()
            had = {dict(labels)[label] for labels in found.get(name, {})}
            assert had <= set(values.split(", ")), name
            if label != "direction":  # a metric may lack a direction
                assert had == set(values.split(", ")), name


def test_the_paths_that_the_page_names_are_the_defaults() -> None:
    text = (MONITORING / "../how-to/monitor.md").read_text()
    assert str(snapshot().config.metrics) in text
    assert "--collector.textfile.directory=/var/lib/aio-tuned" in text


@pytest.mark.parametrize(
    "file", ["grafana-dashboard.json", "aio-tuned.rules.yml", "aio-tuned.rules.test.yml", "../how-to/monitor.md"]
)
def test_only_metrics_that_exist_are_used(file: str) -> None:
    used = set(re.findall(r"\baio_tuned_(?!fleet_)\w+", (MONITORING / file).read_text()))
    assert used
    assert used <= {metric.name for metric in ALL}


def test_the_dashboard_holds_together() -> None:
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert variables == {"datasource", "instance", "device"}
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*variables, "__rate_interval"}
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken), "panels lie over each other"
