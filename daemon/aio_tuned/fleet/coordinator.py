"""The coordinator: one of them leads the fleet, watches its reports, and writes what each class of drives gets."""

from __future__ import annotations

import logging
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned.errors import ConfigError, FleetDataError, PublishError
from aio_tuned.fleet import access, coordinator_metrics, metrics_file
from aio_tuned.fleet.class_records import ClassRecords
from aio_tuned.fleet.coordination import REFRESH_S, coordinate
from aio_tuned.fleet.lead import Lead
from aio_tuned.fleet.report_book import ReportBook
from aio_tuned.fleet.signature import ReplayError
from aio_tuned.fleet.store import ClaimLostError, IgnoredReport, ReportId, StaleError, StoreError, UnreachableError
from aio_tuned.fleet.troubles import Troubles

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from aio_tuned.config.load import Config
    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.coordination import Coordinated
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import Signed, SigningKey
    from aio_tuned.fleet.store import Store

_log = logging.getLogger(__name__)

METRICS_FILE = "fleet-coordinator.prom"
# Much less than the lease of the lead, which is renewed between two waits.
WATCH_S = 10.0
_SHORTEST_WATCH_S = 1.0
# Reports that come together are read together.
_BATCH_S = 0.5
# A class is computed for a tenth of the time at most, since reports change all the time.
_SHORTEST_REST_S = 2.0
_RESTS = 10
# No watch tells of claims, and those of nodes that have died are open again.
_CLAIMS_S = 20.0
# A coordinator that does not lead asks for the lead as often.
_STANDBY_S = 15.0
_LONGEST_PAUSE_S = 15.0
_MOST_DOUBLINGS = 8
# A class whose documents cannot be written is tried again after this time.
_DAMAGED_S = 300.0
_DICE = secrets.SystemRandom()


@dataclass(eq=False, slots=True)
class _Class:
    """When a class is due by the monotonic clock, when it was computed and for how long, and what came out."""

    due_s: float = 0.0
    done_s: float = float("-inf")
    took_s: float = 0.0
    status: ClassStatus | None = None
    found: Coordinated | None = None


class Coordinator:
    """One of a fleet's coordinators. It is used by one thread.

    It writes only while it has the lead, and what it writes depends on the store alone, so that another one continues
    after it at any point. `report_every_s` is how often nodes report that their drives are there.
    """

    def __init__(
        self,
        store: Store,
        key: SigningKey,
        name: str,
        report_every_s: float,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        watch_s: float = WATCH_S,
        draw: Callable[[float, float], float] = _DICE.uniform,
    ) -> None:
        self._store = store
        self._report_every_s = report_every_s
        self._clock = clock
        self._monotonic = monotonic
        self._watch_s = watch_s
        self._draw = draw
        self._lead = Lead(store, name, monotonic)
        self._records = ClassRecords(store, key, self._lead.check)
        self._book: ReportBook | None = None
        self._revision = 0
        self._classes: dict[str, _Class] = {}
        self._troubles = Troubles()
        self._failures = 0
        self._store_troubles = 0
        self._round_s = 0.0

    @property
    def trouble(self) -> str:
        """What does not work, or ""."""
        return str(self._troubles)

    @property
    def leads(self) -> bool:
        """Whether this is the coordinator that writes."""
        return self._book is not None and self._lead.is_held

    # --- the lead -----------------------------------------------------------------------------------------

    def step(self) -> float:
        """Do what is due, and wait for changes; return the seconds until the next step."""
        try:
            wait_s = self._step()
        except ClaimLostError as error:
            self._stand_by(str(error))
            return self._draw(0, _STANDBY_S)
        except StoreError as error:
            return self._pause(error)
        self._failures = 0
        self._troubles.tell("store", "")
        return wait_s

    def _step(self) -> float:
        if not self._lead.hold():
            self._stand_by("another coordinator leads the fleet")
            return self._draw(_STANDBY_S / 2, _STANDBY_S)
        book = self._load() if self._book is None else self._book
        self._compute(book)
        return self._watch(book)

    def _stand_by(self, why: str) -> None:
        """Forget what only the leader needs."""
        if self._book is not None:
            _log.warning("fleet: %s; this coordinator stands by", why)
        self._book, self._classes = None, {}

    def _pause(self, error: StoreError) -> float:
        """Note that the store failed; return the seconds until the next attempt."""
        self._store_troubles += 1
        self._troubles.tell("store", str(error), type(error).__name__)
        if not self._lead.is_held:
            self._stand_by("the store did not renew the lead")
        most_s = min(2.0**self._failures, _LONGEST_PAUSE_S)
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        return self._draw(most_s / 2, most_s)

    def close(self) -> None:
        """Give the lead back, if the store answers."""
        self._book, self._classes = None, {}
        try:
            self._lead.give_back()
        except StoreError as error:
            _log.info("fleet: the lead ends with its lease: %s", error)

    # --- reports ------------------------------------------------------------------------------------------

    def _load(self) -> ReportBook:
        """Read all reports; what changes meanwhile is told by the next watch."""
        begun_s = self._monotonic()
        revision = self._store.watch(None, 0).revision
        book = ReportBook()
        for each in self._store.list_reports():
            self._lead.check()
            book.keep(_id_of(each), each)
        known = {each.document.hardware_class: each.document for each in self._store.list_statuses()}
        self._classes = {key: _Class(status=known.get(key)) for key in book.classes | known.keys()}
        self._book, self._revision = book, revision
        _log.info(
            "fleet: leads, with %d reports of %d classes, read in %.1f s",
            book.reports,
            len(self._classes),
            self._monotonic() - begun_s,
        )
        return book

    def _watch(self, book: ReportBook) -> float:
        """Wait until reports or pins change, or a class is due, and read what has changed."""
        next_s = min((each.due_s for each in self._classes.values()), default=float("inf")) - self._monotonic()
        shortest_s = min(_SHORTEST_WATCH_S, self._watch_s)
        changes = self._store.watch(self._revision, min(max(next_s, shortest_s), self._watch_s))
        if not changes.complete:
            self._book = None
            return 0.0
        for of in sorted(changes.reports):
            self._lead.check()
            self._mark(book.keep(of, self._store.get_report(of)))
        self._mark(changes.pins & self._classes.keys())
        self._revision = changes.revision
        return _BATCH_S if changes.reports or changes.pins else 0.0

    def _mark(self, classes: Iterable[str]) -> None:
        """Have classes computed soon."""
        now_s = self._monotonic()
        for key in classes:
            of = self._classes.setdefault(key, _Class())
            of.due_s = min(of.due_s, max(now_s, of.done_s + max(_SHORTEST_REST_S, _RESTS * of.took_s)))

    # --- classes ------------------------------------------------------------------------------------------

    def _compute(self, book: ReportBook) -> None:
        """Compute the classes that are due."""
        begun_s = self._monotonic()
        due = sorted((of.due_s, key) for key, of in self._classes.items() if of.due_s <= begun_s)
        for _, key in due:
            self._lead.check()
            self._compute_class(key, self._classes[key], book)
        if due:
            self._round_s = self._monotonic() - begun_s

    def _compute_class(self, key: str, of: _Class, book: ReportBook) -> None:
        begun_s = self._monotonic()
        try:
            known = self._records.read(key, book.of_class(key), of.status)
            found = coordinate(known.view, int(self._clock()), self._report_every_s)
            self._records.write(known, found)
            self._troubles.tell(key, "")
        except (StaleError, ReplayError) as error:
            _log.info("fleet: %s", error)
            return  # it is due again, and then read again
        except FleetDataError as error:
            self._troubles.tell(key, f"class {key}: {error}")
            of.due_s = self._monotonic() + _DAMAGED_S
            return
        of.done_s = self._monotonic()
        of.took_s = of.done_s - begun_s
        of.due_s = of.done_s + self._draw(REFRESH_S, 1.1 * REFRESH_S)
        if found.plan.swept < found.plan.wanted:
            of.due_s = of.done_s + max(_CLAIMS_S, _RESTS * of.took_s)
        if known.moves_on(found):
            of.due_s = of.done_s
        of.found, of.status = found, found.status

    # --- for operators ------------------------------------------------------------------------------------

    def metrics_text(self) -> str:
        """Return the text of the metrics, for Prometheus."""
        return coordinator_metrics.text(
            {key: of.found for key, of in sorted(self._classes.items()) if of.found},
            leads=self.leads,
            reports=self._book.reports if self._book else 0,
            ignored=self._book.ignored if self._book else 0,
            store_troubles=self._store_troubles,
            failing=self._failures > 0,
            round_s=self._round_s,
        )


def _id_of(found: Signed[DriveReport] | IgnoredReport) -> ReportId:
    if isinstance(found, IgnoredReport):
        return found.id
    return ReportId(found.document.node, found.document.drive, found.document.basis)


def run(config: Config, stop: threading.Event) -> None:
    """Run a coordinator until `stop` is set; raise ConfigError if something it needs is missing."""
    if not config.fleet:
        raise ConfigError("[fleet] enabled: is false; set it to true, or disable aio-tuned-fleet-coordinator.service")
    key = access.signing_key()
    if key.public not in config.fleet_trusted_keys:
        raise ConfigError(f"[fleet] trusted_keys: lacks this coordinator's public key; add {key.public}")
    if config.fleet_node_keys is None:
        raise ConfigError("[fleet] node_keys: is not set; give the file with the public keys of the nodes")
    password = access.password() if config.fleet_store == "etcd" else ""

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise UnreachableError("the coordinator ends")

    store = access.open_store(
        config,
        access.keyring(config),
        user=config.fleet_user or "aio-tuned-coordinator",
        password=password,
        sleep=pause,
    )
    name = access.node_name(config)
    coordinator = Coordinator(store, key, name, config.fleet_report_every, watch_s=WATCH_S)
    _log.info("fleet: coordinator on %s, whose public key is %s", name, key.public)
    path = _metrics_path()
    try:
        while not stop.is_set():
            wait_s = coordinator.step()
            path = _write_metrics(path, coordinator)
            stop.wait(wait_s)
    finally:
        coordinator.close()


def _metrics_path() -> Path | None:
    """Return the path of the metrics file, in the runtime folder of this unit; None without one."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(folder) / METRICS_FILE if folder else None


def _write_metrics(path: Path | None, coordinator: Coordinator) -> Path | None:
    """Write the metrics; return the path, None if it cannot be written."""
    try:
        if path:
            metrics_file.write(path, coordinator.metrics_text())
    except PublishError as error:
        _log.warning("fleet: %s", error)
        return None
    return path
