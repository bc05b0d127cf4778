"""The agent of a node: it puts the reports of the daemon into the store, and writes orders for the daemon."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from aio_tuned.errors import ConfigError, FleetDataError, PublishError
from aio_tuned.fleet import access, metrics_file
from aio_tuned.fleet.backoff import Backoff
from aio_tuned.fleet.class_reader import ClassReader
from aio_tuned.fleet.metrics_file import Family, MetricsFile
from aio_tuned.fleet.node_orders import decide, drives_of, has_vote, moment
from aio_tuned.fleet.order import Order, Task
from aio_tuned.fleet.report_sender import ReportSender
from aio_tuned.fleet.signature import Keyring
from aio_tuned.fleet.spool import Spool
from aio_tuned.fleet.store import FullError, RightsError, StoreError, UnreachableError
from aio_tuned.fleet.sweep_turn import RENEW_S, Asking, SweepTurn
from aio_tuned.fleet.troubles import Troubles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aio_tuned.config.load import Config
    from aio_tuned.fleet.node_orders import Decision, KnownClass, NodeDrive
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import SigningKey
    from aio_tuned.fleet.store import Store

_log = logging.getLogger(__name__)
_DICE = secrets.SystemRandom()

# What the daemon writes is seen within a minute, and an idle agent wakes up no more often.
IDLE_S = 60.0
_IDLE_JITTER_S = 10.0
# Pauses after failures, each twice as long as the one before.
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 600.0
# All nodes may boot at once, and a login costs each member of etcd some 50 ms.
_BOOT_S = 600.0
_START_SPREAD_S = 300.0
_ENDS_WITHIN_S = 0.8
METRICS_FILE = "fleet-agent.prom"


class Agent:
    """Does what is due at each step(). A store that fails leaves the last orders in place; nothing is lost."""

    def __init__(  # noqa: PLR0913 - the node, as its configuration has it
        self,
        store: Store,
        spool: Spool,
        key: SigningKey,
        node: str,
        *,
        trusted_keys: tuple[str, ...],
        domain: str,
        sweeps_per_domain: int,
        report_every_s: float,
        clock: Callable[[], float] = time.time,
        draw: Callable[[float, float], float] = _DICE.uniform,
    ) -> None:
        self._spool = spool
        self._node = node
        self._clock = clock
        self._draw = draw
        self._sender = ReportSender(store, key, node, report_every_s, draw)
        self._classes = ClassReader(store, node, trusted_keys, draw)
        self._turn = SweepTurn(store, node, domain, sweeps_per_domain)
        orders, _ = spool.orders()
        self._orders = dict(orders)
        self._classes.restore(orders.values())
        self._waiting: set[str] = set()
        # Of the store as a whole, and of what it may refuse alone: a store without space can be read.
        self._store_pauses, *others = (Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, draw) for _ in range(3))
        self._part_pauses = dict(zip(("put", "take"), others, strict=True))
        self._troubles = Troubles()

    @property
    def trouble(self) -> str:
        """What does not work, in sentences; "" if all does."""
        return str(self._troubles)

    def step(self) -> float:
        """Do what is due, and return the seconds until the next step. No error of the store or the spool is raised."""
        now_s = self._clock()
        reports = self._own_reports()
        drives = drives_of(reports)
        if self._store_pauses.is_due(now_s):
            self._meet(reports, drives, now_s)
        self._write_orders(drives, now_s)
        self._troubles.tell("result", "; ".join(self._classes.troubles))
        self._troubles.tell("report", "; ".join(self._sender.refused))
        if self._turn.held:
            return RENEW_S
        return self._draw(IDLE_S, IDLE_S + _IDLE_JITTER_S)

    def close(self) -> None:
        """Give the claims back."""
        try:
            self._turn.release()
        except StoreError as error:
            _log.warning("fleet: claims end with their leases: %s", error)

    # --- the store ----------------------------------------------------------------------------------------

    def _own_reports(self) -> tuple[DriveReport, ...]:
        found = self._spool.reports()
        strangers = sorted({each.node for each in found if each.node != self._node})
        said = f"reports of node {strangers[0]}: this node is {self._node}; restart aio-tuned" if strangers else ""
        self._troubles.tell("node", said)
        return tuple(each for each in found if each.node == self._node)

    def _meet(self, reports: Sequence[DriveReport], drives: Sequence[NodeDrive], now_s: float) -> None:
        """Renew, put, read and claim, each also if one before it was refused, but none without a store."""
        swept = {each.drive: each for each in reports if each.basis == "sweep"}
        parts: dict[str, Callable[[], None]] = {
            "claim": self._turn.renew,
            "put": lambda: self._sender.send(reports, now_s),
            "end": lambda: self._turn.end_if_over(
                drives, {name: self._sender.has_put(each) for name, each in swept.items()}, now_s
            ),
            "read": lambda: self._poll(drives, now_s),
            "take": lambda: self._take(drives, now_s),
        }
        for name, part in parts.items():
            pauses = self._part_pauses.get(name)
            if pauses and not pauses.is_due(now_s):
                continue
            try:
                part()
            except (FullError, RightsError) as error:
                if not pauses:
                    self._fail(error, now_s)
                    return
                pauses.fail(now_s)
                self._troubles.tell(name, str(error), type(error).__name__)
            except StoreError as error:
                self._fail(error, now_s)
                return
            else:
                if pauses:
                    pauses.succeed()
                self._troubles.tell(name, "")
        self._store_pauses.succeed()
        self._troubles.tell("store", "")

    def _fail(self, error: StoreError, now_s: float) -> None:
        # A lease that ends within a minute is worth more calls.
        self._store_pauses.fail(now_s, RENEW_S if self._turn.held else None)
        self._sender.forget()
        self._troubles.tell("store", f"{self._absence()}: {error}", type(error).__name__)

    def _absence(self) -> str:
        return f"no store reachable since {moment(self._store_pauses.since_s)}"

    def _poll(self, drives: Sequence[NodeDrive], now_s: float) -> None:
        if self._classes.poll({each.hardware_class: each.grid for each in drives}, self._waiting, now_s):
            self._sender.forget()

    def _take(self, drives: Sequence[NodeDrive], now_s: float) -> None:
        known = self._known(drives, now_s)
        asking = []
        for drive in drives:
            asks = self._decide(drive, known, now_s).asks
            if asks:
                held = self._orders.get(drive.name)
                resumes = held is not None and held.task == "sweep" and held.hardware_class == drive.hardware_class
                asking.append(Asking(drive, asks, resumes))
        self._turn.take(asking, known, now_s)

    # --- orders -------------------------------------------------------------------------------------------

    def _known(self, drives: Sequence[NodeDrive], now_s: float) -> Mapping[str, KnownClass]:
        keys = {each.hardware_class for each in drives}
        return {key: replace(self._classes.known(key), has_vote=has_vote(drives, key, now_s)) for key in keys}

    def _decide(self, drive: NodeDrive, known: Mapping[str, KnownClass], now_s: float) -> Decision:
        return decide(drive, known[drive.hardware_class], self._node, now_s)

    def _write_orders(self, drives: Sequence[NodeDrive], now_s: float) -> None:
        known = self._known(drives, now_s)
        self._waiting = set()
        said = ""
        for drive in drives:
            order = self._order(drive, self._decide(drive, known, now_s), now_s)
            if order.task == "wait" and drive.is_waiting:
                self._waiting.add(drive.hardware_class)
            held = self._orders.get(drive.name)
            if held and replace(order, made_at_s=held.made_at_s) == held:
                continue
            try:
                self._spool.write_order(order)
            except (PublishError, FleetDataError) as error:
                said = str(error)
                continue
            if not held or held.task != order.task:
                _log.info("%s: %s", drive.name, order.said)
            self._orders[drive.name] = order
        names = {each.name for each in drives}
        try:
            self._spool.keep_orders(names)
        except PublishError as error:
            said = str(error)
        self._orders = {name: each for name, each in self._orders.items() if name in names}
        self._troubles.tell("order", said)

    def _order(self, drive: NodeDrive, decision: Decision, now_s: float) -> Order:
        order = Order(
            drive=drive.name,
            hardware_class=drive.hardware_class,
            task=decision.task,
            said=self._turn.said.get(drive.name, decision.said),
            result=self._classes.text(drive.hardware_class),
            made_at_s=int(now_s),
        )
        if self._turn.drive and self._turn.drive.name == drive.name:
            return replace(order, task="sweep", said=self._turn.sentence())
        held = self._orders.get(drive.name)
        if held is None or held.hardware_class != drive.hardware_class:
            return replace(order, said=self._absence()) if self._store_pauses.fails and order.task == "wait" else order
        if self._turn.kept == drive.name and held.task == "sweep":
            return held
        if not self._store_pauses.fails or (order.task == "wait" and not drive.is_waiting):
            return order
        # What the store would say now is not known: the last order holds.
        return replace(held, said=self._absence()) if held.task == "wait" and drive.is_waiting else held

    # --- what operators see -------------------------------------------------------------------------------

    def metrics_text(self) -> str:
        """Return the text of the metrics, for Prometheus."""
        contact_s = max(self._sender.contact_s, self._classes.contact_s)
        tasks = [each.task for each in self._orders.values()]
        return metrics_file.render(
            Family("aio_tuned_fleet_agent_store_reachable", "gauge", "1 while the store of the fleet answers, else 0.",
                   {(): bool(contact_s) and not self._store_pauses.fails}),
            Family("aio_tuned_fleet_agent_last_contact_timestamp_seconds", "gauge",
                   "Time of the last answer of the store; 0 before the first.",
                   {(): contact_s}),
            Family("aio_tuned_fleet_agent_drives", "gauge", "Drives by the task that their order gives.",
                   {(("task", task),): tasks.count(task) for task in get_args(Task)}),
            Family("aio_tuned_fleet_agent_reports_put_total", "counter", "Reports that were put into the store.",
                   {(): self._sender.put}),
            Family("aio_tuned_fleet_agent_claims_held", "gauge", "Claims that this node holds for a sweep.",
                   {(): self._turn.held}),
            Family("aio_tuned_fleet_agent_troubles", "gauge", "Problems that the agent logs.",
                   {(): len(self._troubles)}),
        )  # fmt: skip


def run(config: Config, stop: threading.Event) -> None:
    """Run the agent of this node until `stop` is set; raise ConfigError if something it needs is missing.

    What it holds is given back then, if the store answers within a second.
    """
    if not config.fleet:
        raise ConfigError("[fleet] enabled: is false; set it to true, or disable aio-tuned-fleet.service")
    node, key = access.node_name(config), access.signing_key()
    # It reads what coordinators signed, and its own reports.
    keyring = Keyring.of(coordinators=config.fleet_trusted_keys, by_node={node: key.public})
    password = access.password() if config.fleet_store == "etcd" else ""

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise UnreachableError("the agent ends")

    store = access.open_store(config, keyring, user=config.fleet_user or node, password=password, sleep=pause)
    agent = Agent(
        store,
        Spool(config.state),
        key,
        node,
        trusted_keys=config.fleet_trusted_keys,
        domain=config.fleet_domain,
        sweeps_per_domain=config.fleet_sweeps_per_domain,
        report_every_s=config.fleet_report_every,
    )
    _log.info("fleet: agent of node %s, whose public key is %s", node, key.public)
    failed: list[Exception] = []

    def work() -> None:
        try:
            _work(agent, stop)
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            failed.append(error)
        finally:
            stop.set()

    # A call may wait for an endpoint for seconds, and a signal does not end it; the end of the program does.
    worker = threading.Thread(target=work, name="agent", daemon=True)
    worker.start()
    stop.wait()
    worker.join(_ENDS_WITHIN_S)
    if failed:
        raise failed[0]


def _work(agent: Agent, stop: threading.Event) -> None:
    metrics = MetricsFile(METRICS_FILE)
    wait_s = _DICE.uniform(0, _START_SPREAD_S) if time.clock_gettime(time.CLOCK_BOOTTIME) < _BOOT_S else 0.0
    while not stop.wait(wait_s):
        wait_s = agent.step()
        metrics.write(agent.metrics_text())
    agent.close()
