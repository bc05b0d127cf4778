"""The agent on a real etcd that fails: as a program beside a spool, and as an object whose clock the tests move."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.fleet.agent import _ENDS_WITHIN_S, METRICS_FILE, Agent
from aio_tuned.fleet.etcd_connection import EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from aio_tuned.fleet.rollout import Rollout
from aio_tuned.fleet.signature import Signed
from aio_tuned.fleet.spool import Spool
from fleet.etcd_cluster import MEMBERS
from fleet.relay import expired_certificate, relay
from fleet.shared_stores import COORDINATOR_KEY, KEYRING, NODE_KEY
from processes import until
from unit.support.fleet import class_plan, class_result, direction_report, presence_report, sweep_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aio_tuned.fleet.order import Order
    from fleet.etcd_cluster import EtcdCluster
    from fleet.shared_stores import Fleet

HASTY = Path(__file__).with_name("hasty_agent.py")
DAY_S = 86400
# An idle agent's share of memory, as the kernel counts it.
MOST_PSS_BYTES = 48 << 20


@dataclass(eq=False)
class Node:
    """The node n1 with one drive of this test's class, and the daemon that writes into its spool."""

    fleet: Fleet
    cluster: EtcdCluster
    folder: Path
    domain: str = ""

    def __post_init__(self) -> None:
        self.spool = Spool(self.folder)
        self.spool.make(None)
        self.name = self.fleet.drive

    def show(self, state: str = "provisional", generation: int = 0) -> None:
        self.spool.write(self._of(presence_report("n1", state=state, generation=generation)))

    def sweep(self) -> None:
        self.spool.write(self._of(sweep_report("n1")))
        self.show("measured")

    def check(self) -> None:
        part = replace(direction_report(), best=())
        self.spool.write(self._of(sweep_report("n1", read=part, basis="check", generation=1, confirms=True)))
        self.show("measured", 1)

    def _of(self, report: Any) -> Any:  # noqa: ANN401 - a report
        return replace(
            report,
            drive=self.name,
            hardware_class=self.fleet.hardware_class,
            at_s=int(time.time()),
            domain=self.domain,
        )

    def order(self) -> Order | None:
        return self.spool.orders()[0].get(self.name)

    def has_task(self, task: str) -> Callable[[], bool]:
        def check() -> bool:
            order = self.order()
            return order is not None and order.task == task

        return check

    def has_stored(self, basis: str) -> bool:
        listed = (each.document for each in self.fleet.store("n1").list_reports("n1") if isinstance(each, Signed))
        return any((each.drive, each.basis) == (self.name, basis) for each in listed)

    def plan(self, *, generation: int = 0, **changes: Any) -> None:  # noqa: ANN401 - any field
        """Put the class's plan, and its first result."""
        store, key = self.fleet.store("coordinator"), self.fleet.hardware_class
        begun = None
        if generation:
            result = class_result(generation, hardware_class=key)
            store.put_class(COORDINATOR_KEY.sign(result), store.get_class(key))
            begun = Rollout(
                hardware_class=key, generation=generation, step=2, reach=10_000, since_s=result.made_at_s, before=0
            )
            changes["result_made_at_s"] = result.made_at_s
        made = class_plan(hardware_class=key, generation=generation, rollout=begun, **{"open_slots": (), **changes})
        store.put_plan(COORDINATOR_KEY.sign(made))

    # --- the agent as a program, and as an object ---------------------------------------------------------

    def config(self, **keys: Any) -> Path:  # noqa: ANN401 - any value
        path = self.folder / "aio-tuned.conf"
        made = {
            "enabled": True,
            "endpoints": list(self.cluster.endpoints),
            "ca_file": str(self.cluster.folder / "ca.pem"),
            "node": "n1",
            "trusted_keys": [COORDINATOR_KEY.public],
            **keys,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in made.items()]
        path.write_text("\n".join(["[fleet]", *lines, "[paths]", f'state = "{self.folder}"', ""]))
        return path

    @contextmanager
    def program(
        self,
        password: str = "password of n1",  # noqa: S107 - of the tests
        program: tuple[str, ...] = (str(HASTY),),
        **environment: str,
    ) -> Iterator[subprocess.Popen[bytes]]:
        credentials, runtime = self.folder / "credentials", self.folder / "runtime"
        for folder in (credentials, runtime):
            folder.mkdir(exist_ok=True)
        (credentials / "password").write_text(f"{password}\n")
        (credentials / "signing-key").write_bytes(NODE_KEY.to_pem())
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *program, "--config", str(self.config()), "fleet", "agent"],
                env={
                    **os.environ,
                    "CREDENTIALS_DIRECTORY": str(credentials),
                    "RUNTIME_DIRECTORY": str(runtime),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=30)

    def metrics(self) -> str:
        path = self.folder / "runtime" / METRICS_FILE
        return path.read_text() if path.exists() else ""

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def agent(self, clock: Callable[[], float], connection: EtcdConnection) -> Agent:
        return Agent(
            EtcdStore(connection, KEYRING),
            self.spool,
            NODE_KEY,
            "n1",
            trusted_keys=(COORDINATOR_KEY.public,),
            domain=self.domain,
            sweeps_per_domain=2,
            report_every_s=7.0 * DAY_S,
            clock=clock,
        )


@dataclass(eq=False)
class Pace:
    """An agent whose clock the test moves, so that no pause takes its time."""

    node: Node
    connection: EtcdConnection
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.now_s = time.time()
        self.agent = self.node.agent(lambda: self.now_s, self.connection)

    def step(self, seconds: float = 0.0) -> None:
        self.now_s += seconds
        self.agent.step()


@pytest.fixture
def node(etcd_fleet: Fleet, cluster: EtcdCluster, tmp_path: Path) -> Node:
    return Node(etcd_fleet, cluster, tmp_path)


@pytest.fixture
def pace(node: Node, cluster: EtcdCluster, etcd_fleet: Fleet) -> Pace:
    connection = EtcdConnection(cluster.access("n1"), call_timeout_s=1.0, give_up_s=2.0)
    etcd_fleet.stack.callback(connection.close)
    return Pace(node, connection)


@pytest.fixture
def healthy(cluster: EtcdCluster) -> Iterator[None]:
    """Start the members that the test ended."""
    yield
    for member in range(MEMBERS):
        if cluster.processes[member] is None:
            cluster.start(member)
    cluster.wait_until_healthy()


# --- the program ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("healthy")
def test_the_program_reports_claims_and_orders_while_members_are_killed(node: Node, cluster: EtcdCluster) -> None:
    key = node.fleet.hardware_class
    node.plan(open_slots=(1,))
    node.show()
    with node.program() as process:
        assert until(node.has_task("sweep")), "no order to sweep"
        assert node.has_stored("presence")
        assert until(lambda: "aio_tuned_fleet_agent_claims_held 1.0\n" in node.metrics()), "no claim in the metrics"
        for member in range(MEMBERS):
            cluster.kill(member)
            time.sleep(0.5)
            assert node.has_task("sweep")()
            assert node.fleet.store("n2").holders("claim", key) == {1: "n1"}
            cluster.start(member)
            cluster.wait_until_healthy()
        node.sweep()
        assert until(lambda: node.has_stored("sweep")), "no report of the sweep"
        assert until(lambda: not node.fleet.store("n2").holders("claim", key)), "the claim is still held"
        node.plan(generation=1)
        node.show()
        assert until(node.has_task("check")), "no order to check"
        node.check()
        assert until(node.has_task("wait")), "the order to check lasts"
        assert until(lambda: node.has_stored("check")), "no report of the check"
        assert process.poll() is None


def test_the_program_ends_and_gives_its_claim_back(node: Node) -> None:
    """Within 0.8 s, if etcd answers so soon: that is as its disk is."""
    assert _ENDS_WITHIN_S < 1
    key = node.fleet.hardware_class
    node.plan(open_slots=(1,))
    node.show()
    with node.program(AGENT_ENDS_WITHIN_S="30") as process:
        assert until(node.has_task("sweep")), "no order to sweep"
        assert node.fleet.store("n2").holders("claim", key) == {1: "n1"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert node.fleet.store("n2").holders("claim", key) == {}
        assert node.has_task("sweep")()


@pytest.mark.usefixtures("healthy")
def test_the_program_ends_within_a_second_without_a_store(node: Node, cluster: EtcdCluster) -> None:
    node.plan(open_slots=(1,))
    node.show()
    with node.program() as process:
        assert until(node.has_task("sweep")), "no order to sweep"
        for member in range(MEMBERS):
            cluster.pause(member)
        try:
            time.sleep(1.0)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)
            # One call alone takes 5 s until it is given up.
            assert time.monotonic() - began < 4
        finally:
            for member in range(MEMBERS):
                cluster.resume(member)


def test_a_wrong_password_is_told_and_the_right_one_is_taken_after_a_restart(node: Node) -> None:
    node.plan(generation=1)
    node.show()
    with node.program("another"):
        assert until(lambda: "no store reachable since" in node.log()), "no word of the login"
        assert "check the user and the password of [fleet]" in node.log()
        assert "another" not in node.log()
        assert until(lambda: "aio_tuned_fleet_agent_store_reachable 0.0\n" in node.metrics()), "no metric"
        order = node.order()
        assert order
        assert order.said.startswith("no store reachable since ")
    with node.program():
        assert until(node.has_task("check")), "no order to check"
    assert node.log().count("fleet: no store reachable since") == 1


def test_an_idle_agent_takes_less_than_48_mb(node: Node) -> None:
    node.plan(generation=1)
    node.show("measured", 1)
    with node.program() as process:
        assert until(node.has_task("wait")), "no order"
        assert until(lambda: "agent_reports_put_total 1.0\n" in node.metrics()), "no report"
        time.sleep(1.0)
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        pss, rss = (int(text.split(f"\n{key}:")[1].split()[0]) << 10 for key in ("Pss", "Rss"))
        print(f"PSS {pss / 2**20:.1f} MiB beside the tests, RSS {rss / 2**20:.1f} MiB")
        assert pss < MOST_PSS_BYTES
        assert "numpy" not in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.long
def test_an_idle_agent_wakes_about_once_a_minute(node: Node) -> None:
    """Two or three switches of context a minute were measured, and less than 10 ms of processor time in three."""
    if time.clock_gettime(time.CLOCK_BOOTTIME) < 600:
        pytest.skip("the machine has just booted, so that the agent waits before it starts")
    node.plan(generation=1)
    node.show("measured", 1)
    with node.program(program=("-m", "aio_tuned")) as process:
        assert until(node.has_task("wait")), "no order"
        time.sleep(5)
        before = _switches(process.pid)
        time.sleep(180)
        assert _switches(process.pid) - before <= 15


def _switches(pid: int) -> int:
    """How often the threads of a process went to sleep."""
    tasks = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0]) for text in tasks)


# --- faults, with a clock that moves ----------------------------------------------------------------------


@pytest.mark.usefixtures("healthy")
def test_without_a_majority_the_orders_stay_and_all_comes_back(pace: Pace, cluster: EtcdCluster) -> None:
    node = pace.node
    node.plan(generation=1)
    node.show()
    pace.step()
    assert node.has_task("check")()
    for member in (0, 1):
        cluster.kill(member)
    before = node.order()
    node.check()
    pace.step(700)
    pace.step(700)
    assert "no store reachable since" in pace.agent.trouble
    order = node.order()
    assert order
    assert before
    assert (order.task, order.result) == ("wait", before.result)  # it did its check
    for member in (0, 1):
        cluster.start(member)
    cluster.wait_until_healthy()
    pace.step(700)
    assert pace.agent.trouble == ""
    assert node.has_stored("check")


def test_an_expired_certificate_is_told_and_a_new_one_is_taken(node: Node, cluster: EtcdCluster) -> None:
    node.plan(generation=1)
    node.show()
    expired, authorities = expired_certificate(node.folder), node.folder / "authorities.pem"
    authorities.write_bytes((cluster.folder / "ca.pem").read_bytes() + expired.read_bytes())
    with relay(cluster.endpoint(0)) as way:
        access = cluster.access("n1", endpoints=(way.url,), ca_file=authorities)
        pace = Pace(node, EtcdConnection(access, call_timeout_s=1.0, give_up_s=2.0))
        pace.step()
        before = node.order()
        way.expire(expired)
        node.check()
        pace.step(700)
        assert "certificate has expired" in pace.agent.trouble
        order = node.order()
        assert order
        assert before
        assert order.result == before.result
        way.expired = None
        pace.step(700)
        assert pace.agent.trouble == ""
        assert node.has_stored("check")
        pace.connection.close()


def test_a_password_that_changes_is_no_end(pace: Pace, cluster: EtcdCluster) -> None:
    node = pace.node
    node.plan(generation=1)
    node.show()
    pace.step()
    _set_password(cluster, "n1", "changed")
    try:
        node.check()
        pace.step(700)
        assert "check the user and the password" in pace.agent.trouble
        assert "waiting" not in str(node.order())
    finally:
        _set_password(cluster, "n1", "password of n1")
    pace.step(700)
    assert pace.agent.trouble == ""
    assert node.has_stored("check")


def _set_password(cluster: EtcdCluster, user: str, password: str) -> None:
    with _root(cluster) as post:
        post("auth/user/changepw", {"name": user, "password": password})


@contextmanager
def _root(cluster: EtcdCluster) -> Iterator[Callable[[str, dict[str, Any]], dict[str, Any]]]:
    connection = EtcdConnection(cluster.access("root"))
    try:
        yield connection.call
    finally:
        connection.close()


def test_a_full_etcd_is_read_and_gets_the_reports_when_it_has_space(pace: Pace, cluster: EtcdCluster) -> None:
    node = pace.node
    node.show()
    node.plan(generation=1)
    with _root(cluster) as post:
        member = post("maintenance/status", {})["header"]["member_id"]
        alarm = {"memberID": member, "alarm": "NOSPACE"}
        post("maintenance/alarm", {"action": "ACTIVATE", **alarm})
        try:
            pace.step()
            assert "database space exceeded" in pace.agent.trouble
            assert node.has_task("check")()
            node.check()
            pace.step(60)
            assert node.has_task("wait")()
        finally:
            post("maintenance/alarm", {"action": "DEACTIVATE", **alarm})
    pace.step(700)
    assert pace.agent.trouble == ""
    assert node.has_stored("presence")
    assert node.has_stored("check")


def test_an_agent_that_is_killed_loses_no_order_and_takes_its_claim_again(node: Node) -> None:
    key = node.fleet.hardware_class
    node.plan(open_slots=(0, 1, 2))
    node.show()
    with node.program():
        assert until(node.has_task("sweep")), "no order to sweep"
    before = node.order()
    assert node.fleet.store("n2").holders("claim", key) == {0: "n1"}
    with node.program():
        assert until(lambda: "aio_tuned_fleet_agent_store_reachable 1.0\n" in node.metrics()), "no contact"
        time.sleep(1.0)
        assert node.order() == before
        assert node.fleet.store("n2").holders("claim", key) == {0: "n1"}


# --- bytes of a day ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reconnects", [False, True])
def test_an_idle_day_takes_less_than_two_megabytes(node: Node, cluster: EtcdCluster, reconnects: bool) -> None:
    """Also if a firewall ends each connection between two polls."""
    node.plan(generation=1)
    node.show("measured", 1)
    with relay(cluster.endpoint(0)) as way:
        pace = Pace(node, EtcdConnection(cluster.access("n1", endpoints=(way.url,))))
        pace.step()
        way.reset()
        ends_s, steps = pace.now_s + DAY_S, 0
        while pace.now_s < ends_s:
            pace.step(65)
            steps += 1
            if reconnects:
                way.cut()
        pace.connection.close()
        assert steps < DAY_S / 60
        print(f"{steps} steps, {way.connections} connections, {way.sent_bytes} bytes, {way.on_the_wire} with headers")
        assert 100 << 10 < way.on_the_wire < 2 << 20
