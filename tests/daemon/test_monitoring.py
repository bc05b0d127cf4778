"""What docs/monitoring holds, with the Prometheus and the node_exporter of the distribution."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.service.monitoring import prometheus
from daemon.prometheus import GET, INSTANCE, Monitoring
from needed import command
from processes import until
from unit.support.builders import CURVES, device, result
from unit.support.fleet_metrics import fleet_metrics
from unit.support.snapshots import SWEEPING, known, seen, snapshot, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aio_tuned.service.monitoring.snapshot import DriveSnapshot
    from daemon.daemon_process import Daemon
    from daemon.loop_drive import LoopDrive

FOLDER = Path(__file__).parents[2] / "docs/monitoring"
BOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
HEALTHY, STALE, FAILING, SLOW = "nvme-healthy", "nvme-stale", "nvme-failing", "nvme-slow"
UP = {"__name__": "aio_tuned_up", "instance": INSTANCE, "job": "node"}
# Of these there may be nothing on a drive that is not mounted, has no siblings, sensor or fleet, and is not swept now.
MAYBE = ("write", "paused", "progress", "temperature", "findings", "sustained", "sibling_ratio", "fleet")


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    made = Monitoring(tmp_path_factory.mktemp("monitoring"), FOLDER / "aio-tuned.rules.yml")
    try:
        made.wait("up == 1")
        yield made
    finally:
        made.close()


def promtool(*words: str | Path, given: str = "") -> str:
    """What it has to say, which is nothing bad."""
    tool = command("promtool", GET)
    done = subprocess.run([tool, *words], input=given, capture_output=True, text=True, check=False, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def show(monitoring: Monitoring, *drives: DriveSnapshot) -> None:
    """Let node_exporter find these drives."""
    made = prometheus.render(snapshot(*drives), time.time())
    temporary = monitoring.folder / "metrics.new"
    temporary.write_text(made)
    temporary.rename(monitoring.folder / "metrics.prom")


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression of the dashboard with the name of its panel or variable; all variables chosen."""
    found = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            values = re.fullmatch(r"label_values\((.*), \w+\)", variable["query"]["query"])
            assert values
            found.append((variable["name"], values[1]))
    for name, expression in found:
        text = expression.replace("$__rate_interval", "1m")
        yield name, text.replace("$instance", ".*").replace("$device", ".*")


# --- promtool --------------------------------------------------------------------------------------------


def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    named = device(name='x"\n\\ü', model='A "quoted" \\ back\nslash\r\tMüller \udcff\x00{}')
    drives = (
        seen(HEALTHY, siblings=(known("nvme-sibling"),)),
        seen("nvme-sweeping", state=state("sweeping"), sweeping=SWEEPING, next_try="2025-11-23T12:01:00+00:00"),
        seen(device=named),
    )
    assert promtool("check", "metrics", given=prometheus.render(snapshot(*drives), time.time())) == ""
    assert promtool("check", "metrics", given=prometheus.farewell("0.1.0", time.time())) == ""


def test_the_rules_hold_their_own_test() -> None:
    assert "8 rules found" in promtool("check", "rules", "aio-tuned.rules.yml")
    assert "SUCCESS" in promtool("test", "rules", "aio-tuned.rules.test.yml")


# --- a daemon --------------------------------------------------------------------------------------------


def test_a_daemon_is_seen_until_it_is_stopped(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive], monitoring: Monitoring
) -> None:
    path = monitoring.folder / "metrics.prom"
    quick_daemon.configure(f'[publish]\nmetrics = "{path}"\nnode_features = "{quick_daemon.folder}/features"')
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    monitoring.wait(f'aio_tuned_profile_state{{state="measured", device="{drive.name}"}} == 1')
    assert promtool("check", "metrics", given=path.read_text()) == ""
    assert path.stat().st_mode & 0o7777 == 0o644
    monitoring.wait(f'aio_tuned_sweeps_total{{outcome="finished", device="{drive.name}"}} == 1')
    ((labels, rate),) = monitoring.query(
        'aio_tuned_profile_throughput_bytes_per_second{direction="read"}'
        " * on (instance, device) group_left (node) aio_tuned_drive_info"
    )
    assert (labels["device"], labels["node"], labels["instance"]) == (drive.name, str(drive.node), INSTANCE)
    assert rate == quick_daemon.drive(drive)["read_bytes_per_s"]
    ((_, depth),) = monitoring.query('aio_tuned_setting_queue_depth{section="read"}')
    assert depth == quick_daemon.profile(drive)["read"]["queue_depth"]
    for name, expression in expressions():
        found = monitoring.query(expression)
        assert found or any(word in expression for word in MAYBE), (name, expression)
    assert monitoring.alerts() == {}
    assert "measured-devices=1" in (quick_daemon.folder / "features").read_text()
    quick_daemon.stop()
    assert until(lambda: monitoring.query("aio_tuned_up") == [(UP, 0.0)])
    assert until(lambda: monitoring.query("aio_tuned_drive_info") == [])


def test_what_a_sweep_has_counted_is_there_after_a_restart(
    quick_daemon: Daemon, loop_drive: Callable[..., LoopDrive]
) -> None:
    drive = loop_drive()
    quick_daemon.watch(drive)
    drive.plug()
    metrics = quick_daemon.state / "metrics.prom"

    def counted() -> dict[str, str]:
        found = re.findall(r"^(aio_tuned_\w+_total)\{(.*)\} (.*)$", metrics.read_text(), re.MULTILINE)
        return {f"{name}{labels}": value for name, labels, value in found}

    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert until(lambda: any(value == "1.0" for value in counted().values()))
    before = counted()
    quick_daemon.stop()
    assert counted() == {}
    quick_daemon.start()
    quick_daemon.wait(drive, "published", published="measured")
    assert until(lambda: counted() == before), (before, counted())


# --- the alerts ------------------------------------------------------------------------------------------


def test_each_alert_fires_for_what_it_is_for_and_for_nothing_else(monitoring: Monitoring) -> None:
    siblings = tuple(known(f"nvme-sibling{place}") for place in range(3))
    well = [seen(name, siblings=siblings) for name in (HEALTHY, STALE, FAILING, SLOW)]
    ill = [
        well[0],
        seen(STALE, shown=known(STALE, state="stale"), siblings=siblings),
        replace(well[2], state=state("failed", failures=3)),
        seen(SLOW, shown=known(SLOW, 5_000_000_000), siblings=siblings),
    ]
    show(monitoring, *well)
    monitoring.wait(f'aio_tuned_drive_info{{device="{SLOW}"}}')
    monitoring.evaluate()
    assert monitoring.alerts() == {}
    show(monitoring, *ill)
    expected = {
        ("AioTunedProfileStale", STALE),
        ("AioTunedSweepFailing", FAILING),
        ("AioTunedDriveSlowerThanTwins", SLOW),
    }
    states: list[dict[Any, str]] = []

    def fires() -> bool:
        states.append(monitoring.alerts())
        return states[-1] == dict.fromkeys(expected, "firing")

    assert until(fires), states[-1]
    assert all(set(found) <= expected for found in states)
    pending = monitoring.query('max_over_time(ALERTS{alertstate="pending"}[5m])')
    assert {(labels["alertname"], labels["device"]) for labels, _ in pending} == expected, "they fire at once"
    show(monitoring, *well)
    assert until(lambda: monitoring.alerts() == {}), monitoring.alerts()


def test_every_panel_has_data_where_there_is_some(monitoring: Monitoring, tmp_path: Path) -> None:
    siblings = (known("nvme-sibling"),)
    sustained = result(sustained_throughput_bytes_per_s=900_000_000)
    full = known(HEALTHY, read=sustained, write=sustained, curves=CURVES)
    (monitoring.folder / "fleet.prom").write_text(fleet_metrics(tmp_path))
    show(monitoring, seen(HEALTHY, shown=full, siblings=siblings, state=state("sweeping"), sweeping=SWEEPING))
    monitoring.wait("aio_tuned_sweep_progress_ratio")
    monitoring.wait("rate(aio_tuned_sweep_written_bytes_total[1m])")
    assert [(name, text) for name, text in expressions() if not monitoring.query(text)] == []
