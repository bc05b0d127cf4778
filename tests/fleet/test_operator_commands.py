"""aio-tuned fleet as operators run it: the real program, on the real etcd with TLS, users and roles."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import Exit
from fleet.shared_stores import COORDINATOR_KEY, NODE_KEY
from unit.support.fleet import POINTS, class_plan, class_result, class_status, presence_report, sweep_report

if TYPE_CHECKING:
    from pathlib import Path

    from fleet.etcd_cluster import EtcdCluster
    from fleet.shared_stores import Fleet


@pytest.fixture
def conf(cluster: EtcdCluster, tmp_path: Path) -> Path:
    (tmp_path / "node-keys").write_text(f"* {NODE_KEY.public}\n")
    path = tmp_path / "aio-tuned.conf"
    path.write_text(
        f"[fleet]\nenabled = true\nendpoints = {json.dumps(list(cluster.endpoints))}\n"
        f'ca_file = "{cluster.folder}/ca.pem"\ntrusted_keys = ["{COORDINATOR_KEY.public}"]\n'
        f'node_keys = "{tmp_path}/node-keys"\n'
    )
    return path


@pytest.fixture
def known(etcd_fleet: Fleet) -> Fleet:
    """A fleet that knows a class with two generations, and a node with a drive."""
    key = etcd_fleet.hardware_class
    coordinator, node = etcd_fleet.store("coordinator"), etcd_fleet.store("n1")
    for generation in (1, 2):
        result = COORDINATOR_KEY.sign(class_result(generation, POINTS[generation], hardware_class=key))
        coordinator.put_class(result, coordinator.get_class(key))
    coordinator.put_plan(COORDINATOR_KEY.sign(class_plan(hardware_class=key, rollout=None)))
    coordinator.put_status(COORDINATOR_KEY.sign(class_status(hardware_class=key)))
    for report in (sweep_report, presence_report):
        node.put_report(NODE_KEY.sign(report("n1", drive=etcd_fleet.drive, hardware_class=key)))
    return etcd_fleet


def run(conf: Path, *words: str, user: str = "operator", password: str = "") -> subprocess.CompletedProcess[str]:
    """The password comes by a pipe, as from a password manager."""
    login = ["--user", user, "--password-file", "/dev/stdin"]
    return subprocess.run(
        [sys.executable, "-m", "aio_tuned", "--config", conf, "fleet", *words, *login],
        input=password or f"password of {user}",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def well(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (Exit.OK, "")
    return done.stdout


def test_an_operator_sees_a_class_and_a_node(known: Fleet, conf: Path) -> None:
    key = known.hardware_class
    (found,) = json.loads(well(run(conf, "status", "--class", key, "--json")))["classes"]
    assert (found["class"], found["drives"]) == (key, 80_000)
    assert f"class {key}: ACME X1, firmware 1.0, 3.84 TB, xfs; 10,000 nodes" in well(run(conf, "status"))
    explained = well(run(conf, "explain", "n1"))
    assert f"\n{known.drive}\n  hardware: ACME X1" in explained


def test_an_operator_pins_rolls_back_and_unpins(known: Fleet, conf: Path) -> None:
    key, operator = known.hardware_class, known.store("operator")
    well(run(conf, "pin", key, "--read", "queue_depth=4", "--why", "latency"))
    pinned = operator.get_pin(key)
    assert pinned is not None
    assert (pinned.by, pinned.why, pinned.read and pinned.read.queue_depth) == ("operator", "latency", 4)
    well(run(conf, "rollback", key))
    pinned = operator.get_pin(key)
    assert pinned is not None
    assert (pinned.restores, pinned.read) == (1, POINTS[1])
    well(run(conf, "unpin", key))
    assert operator.get_pin(key) is None


def test_a_bundle_of_a_real_fleet_is_signed(known: Fleet, conf: Path, tmp_path: Path) -> None:
    well(run(conf, "export", str(tmp_path / "bundle.json"), known.hardware_class))
    conf.write_text(conf.read_text() + f'[paths]\nprofiles = "{tmp_path}/profiles"\n')
    done = subprocess.run(
        [sys.executable, "-m", "aio_tuned", "--config", conf, "fleet", "import", tmp_path / "bundle.json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"class {known.hardware_class}: generation 2\n" in well(done)
    assert (tmp_path / "profiles/models.d/bundle.json").exists()


@pytest.mark.parametrize(
    ("user", "password", "code", "said"),
    [
        ("operator", "wrong", Exit.CONFIG, "check the user and the password"),
        ("n1", "", Exit.PRIVILEGE, "permission denied"),
    ],
)
def test_who_may_not_is_told_so(user: str, password: str, code: int, said: str, known: Fleet, conf: Path) -> None:
    done = run(conf, "pin", known.hardware_class, "--read", "queue_depth=4", "--why", "x", user=user, password=password)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert known.store("operator").get_pin(known.hardware_class) is None
