"""The coordinator on a store in memory: its lead, what it reads and writes, and how it survives faults."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from aio_tuned.config.load import Config
from aio_tuned.errors import ConfigError
from aio_tuned.fleet import access, coordinator, keys
from aio_tuned.fleet.coordinator import Coordinator
from aio_tuned.fleet.keys import coordinator_rights
from aio_tuned.fleet.lead import LEASE_S, RENEW_S, SLOT
from aio_tuned.fleet.memory_store import MemoryStore
from aio_tuned.fleet.report_book import MOST_DRIVES
from aio_tuned.fleet.store import Changes, FullError, StoreError, UnreachableError
from unit.support.fleet import CLASS, POINTS, class_pin, class_result, direction_report, presence_report, sweep_report
from unit.support.fleet_node import COORDINATOR_KEY, KEYRING, NODE_KEY, STRANGERS_KEY, FaultyStore, Site

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.fleet.class_status import ClassStatus
    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.plan import ClassPlan
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import SigningKey
    from aio_tuned.model.setting import Setting

WEEK_S = 7 * 86400.0
OTHER = "fedcba9876543210"


class _Lead:
    """A coordinator and its access to the store."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.store = FaultyStore(MemoryStore(site.shared, KEYRING, coordinator_rights()))
        self.of = Coordinator(
            self.store,
            COORDINATOR_KEY,
            name,
            WEEK_S,
            clock=lambda: site.now_s,
            monotonic=lambda: site.now_s,
            watch_s=0,
            draw=lambda low, high: (low + high) / 2,
        )

    def go_on(self, seconds: float = 10.0, tick_s: float = 5.0) -> None:
        """Let the coordinator work for that time; a watch takes `tick_s`."""
        ends_s = self.site.now_s + seconds
        while self.site.now_s < ends_s:
            self.site.now_s += self.of.step() or tick_s


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def first(site: Site) -> _Lead:
    return _Lead(site, "c1")


def _put(site: Site, report: DriveReport, key: SigningKey = NODE_KEY) -> None:
    site.store.put_report(key.sign(replace(report, sent_s=int(site.now_s))))


def _sweeps(
    site: Site, best: tuple[Setting, ...] = POINTS[:6], hardware_class: str = CLASS, nodes: str = "abc"
) -> None:
    for node in nodes:
        part = direction_report(best=best, step=200)
        _put(site, sweep_report(node, part, hardware_class=hardware_class, at_s=int(site.now_s)))
        _put(site, presence_report(node, hardware_class=hardware_class, state="measured"))


def _put_raw(site: Site, key: str, text: str) -> None:
    with site.shared.changed:
        site.shared.put(key, text)


def _result(site: Site, key: str = CLASS) -> ClassResult:
    found = site.store.get_class(key).result
    assert found
    return found.document


def _plan(site: Site, key: str = CLASS) -> ClassPlan:
    found = site.store.get_plan(key)
    assert found
    return found.document


def _statuses(site: Site) -> dict[str, ClassStatus]:
    return {each.document.hardware_class: each.document for each in site.store.list_statuses()}


# --- the lead ---------------------------------------------------------------------------------------------


def test_one_of_two_coordinators_leads_and_the_other_follows_it(site: Site, first: _Lead) -> None:
    second = _Lead(site, "c2")
    first.go_on()
    second.go_on()
    assert (first.of.leads, second.of.leads, site.holder(SLOT)) == (True, False, "c1")
    _sweeps(site)
    second.go_on()
    assert site.store.get_class(CLASS).result is None
    assert set(second.store.calls) == {"claim"}
    site.now_s += LEASE_S
    second.go_on(60)
    assert second.of.leads
    assert _result(site).generation == 1


def test_the_lead_is_kept_by_a_call_every_twenty_seconds(first: _Lead) -> None:
    first.go_on(600)
    assert first.of.leads
    assert first.store.calls.count("claim") == 1
    assert 0.8 * 600 / RENEW_S <= first.store.calls.count("keep_alive") <= 600 / RENEW_S


def test_a_coordinator_that_ends_gives_the_lead_to_the_next_at_once(site: Site, first: _Lead) -> None:
    second = _Lead(site, "c2")
    first.go_on()
    first.of.close()
    second.go_on(5)
    assert (first.of.leads, second.of.leads) == (False, True)


def test_a_coordinator_that_has_lost_the_lead_writes_nothing(site: Site, first: _Lead) -> None:
    first.go_on()
    site.now_s += LEASE_S  # as a process that was stopped
    second = _Lead(site, "c2")
    second.go_on()
    _sweeps(site)
    first.store.calls.clear()
    first.go_on(30)
    assert not first.of.leads
    assert not [call for call in first.store.calls if call.startswith("put")]
    assert second.of.leads


def test_the_lead_that_ends_in_a_round_ends_the_round(site: Site, first: _Lead) -> None:
    first.go_on()
    _sweeps(site)
    first.of.step()

    def lose(name: str) -> StoreError | None:
        if name == "get_plan":
            site.now_s += LEASE_S
        return None

    first.store.fault = lose
    site.now_s += 2
    first.of.step()
    assert "get_plan" in first.store.calls
    assert not [call for call in first.store.calls if call.startswith("put")]
    assert site.store.get_class(CLASS).result is None


# --- reading and writing ------------------------------------------------------------------------------------


def test_sweeps_become_a_result_a_plan_and_a_status(site: Site, first: _Lead) -> None:
    first.go_on()
    _sweeps(site, nodes="ab")
    first.go_on()
    assert (_plan(site).swept, _plan(site).open_slots) == (2, (0,))
    _sweeps(site, nodes="c")
    first.go_on()
    assert (_result(site).generation, _result(site).settings()[0]) == (1, POINTS[0])
    assert (_plan(site).generation, _plan(site).open_slots) == (1, ())
    assert _statuses(site)[CLASS].nodes == 3
    assert first.of.trouble == ""


def test_nothing_is_written_while_nothing_changes(site: Site, first: _Lead) -> None:
    _sweeps(site)
    first.go_on(60)
    first.store.calls.clear()
    first.go_on(3000, tick_s=30)
    assert set(first.store.calls) == {"keep_alive", "watch"}
    first.go_on(3600, tick_s=30)
    assert [call for call in first.store.calls if call.startswith("put")] == ["put_plan", "put_status"]


def test_a_presence_that_is_sent_again_changes_nothing(site: Site, first: _Lead) -> None:
    _sweeps(site)
    first.go_on(60)
    first.store.calls.clear()
    _put(site, presence_report("a", state="measured"))
    first.go_on(60)
    assert first.store.calls.count("get_report") == 1
    assert "get_class" not in first.store.calls


def test_only_what_changed_is_read_and_computed(site: Site, first: _Lead) -> None:
    _sweeps(site)
    _sweeps(site, hardware_class=OTHER, nodes="def")
    first.go_on(60)
    first.store.calls.clear()
    _put(site, presence_report("f", hardware_class=OTHER, state="stale"))
    first.go_on(60)
    calls = first.store.calls
    assert (calls.count("get_report"), calls.count("get_class"), calls.count("list_reports")) == (1, 1, 0)
    assert (_statuses(site)[OTHER].stale, _statuses(site)[CLASS].stale) == (1, 0)


def test_reports_that_come_one_by_one_are_not_computed_one_by_one(site: Site, first: _Lead) -> None:
    first.go_on()
    first.store.calls.clear()
    for number in range(50):
        _put(site, presence_report(f"n{number}"))
        first.go_on(0.1, tick_s=0.1)
    assert first.store.calls.count("get_report") == 50
    # Each step waits half a second for more of them, and a class rests for two.
    assert first.store.calls.count("get_class") <= 50 / 2 / 2 + 1


def test_a_class_is_computed_for_a_tenth_of_the_time(site: Site, first: _Lead) -> None:
    first.go_on()
    first.store.calls.clear()

    def take_long(name: str) -> None:
        site.now_s += 3 if name == "get_class" else 0

    first.store.fault, begun_s = take_long, site.now_s
    for number in range(120):
        _put(site, presence_report(f"n{number}"))
        first.go_on(1, tick_s=1)
    assert 3 <= first.store.calls.count("get_class") <= (site.now_s - begun_s) / 30 + 1


def test_the_lead_is_kept_while_many_changes_are_read(site: Site, first: _Lead) -> None:
    first.go_on()
    for number in range(200):
        _put(site, presence_report(f"n{number}"))

    def take_long(name: str) -> None:
        site.now_s += 1 if name == "get_report" else 0

    first.store.fault = take_long
    first.go_on(220)
    assert first.of.leads
    assert first.store.calls.count("claim") == 1
    assert _statuses(site)[CLASS].nodes == 200


def test_what_follows_from_a_change_is_computed_at_once(site: Site, first: _Lead) -> None:
    _sweeps(site)
    first.go_on()
    site.store.put_pin(class_pin(read=POINTS[3]))
    first.go_on(20)
    assert _statuses(site)[CLASS].decision.startswith("generation 2: 0 of 0 nodes confirm it, 1 of 1 have not checked")


def test_a_drive_that_is_of_another_class_by_now_is_none_of_its_first(site: Site, first: _Lead) -> None:
    _sweeps(site)
    first.go_on()
    site.now_s += 60
    _put(site, presence_report("a", hardware_class=OTHER))
    first.go_on()
    assert {key: each.nodes for key, each in _statuses(site).items()} == {CLASS: 2, OTHER: 1}
    assert _plan(site).swept == 3


def test_a_class_whose_drives_have_all_gone_is_counted_as_empty(site: Site, first: _Lead) -> None:
    _sweeps(site)
    first.go_on()
    site.now_s += 3 * WEEK_S
    second = _Lead(site, "c2")
    second.go_on()
    assert (_statuses(site)[CLASS].nodes, _statuses(site)[CLASS].generation) == (0, 1)


def test_claims_of_nodes_that_sweep_are_not_open_until_their_lease_ends(site: Site, first: _Lead) -> None:
    _put(site, presence_report("a"))
    first.go_on()
    for number in range(3):
        assert site.store.claim(keys.Slot("claim", CLASS, number), f"n{number}", 60)
    first.go_on(30)
    assert _plan(site).open_slots == ()
    first.go_on(90)
    assert _plan(site).open_slots == (0, 1, 2)


def test_a_watch_that_has_missed_changes_has_all_reports_read_again(
    site: Site, first: _Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.go_on()
    revision = site.shared.revision
    _sweeps(site)
    missed = Changes(site.shared.revision, complete=False)
    watch = MemoryStore(site.shared, KEYRING, coordinator_rights()).watch
    missing: Any = lambda since, wait_s: missed if since == revision else watch(since, wait_s)  # noqa: E731
    monkeypatch.setattr(first.store, "watch", missing, raising=False)
    first.go_on()
    assert first.store.calls.count("list_reports") == 2
    assert _result(site).generation == 1


def test_forged_and_damaged_reports_are_counted_and_named(site: Site, first: _Lead) -> None:
    _sweeps(site)
    first.go_on()
    _put(site, sweep_report("a"), STRANGERS_KEY)
    _put_raw(site, keys.report("b", sweep_report().drive, "sweep"), "{")
    first.go_on(60)
    status = _statuses(site)[CLASS]
    assert (status.swept, status.ignored) == (1, 2)
    assert {each.node: each.why for each in status.noted if each.kind == "ignored"} == {
        "a": "signed report: signed by no trusted key; it is ignored",
        "b": "signed report: not a document with a signature; it is ignored",
    }
    _sweeps(site, nodes="ab")
    first.go_on()
    assert _statuses(site)[CLASS].ignored == 0


def test_a_node_cannot_fill_the_memory_with_drives(site: Site, first: _Lead) -> None:
    for number in range(MOST_DRIVES + 3):
        _put(site, presence_report("a", drive=f"d{number}"))
    first.go_on()
    assert _statuses(site)[CLASS].drives == MOST_DRIVES


def test_pins_are_followed_even_damaged_ones(site: Site, first: _Lead) -> None:
    _sweeps(site)
    first.go_on()
    site.store.put_pin(class_pin(read=POINTS[3]))
    site.store.put_pin(class_pin(hardware_class=OTHER))
    first.go_on()
    assert (_result(site).generation, _result(site).settings()[0]) == (2, POINTS[3])
    assert OTHER not in _statuses(site)
    _put_raw(site, keys.pin(CLASS), "{")
    first.go_on()
    assert _result(site).generation == 2
    assert _statuses(site)[CLASS].pinned.startswith("the pin cannot be read: pin: not valid JSON")
    site.store.delete_pin(CLASS)
    first.go_on()
    assert (_result(site).generation, _result(site).settings()[0]) == (3, POINTS[0])


# --- faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [FullError("etcd is full"), UnreachableError("etcd is away")], ids=["full", "away"])
@pytest.mark.parametrize("call", ["list_reports", "get_report", "get_class", "put_class", "put_plan", "put_status"])
def test_a_call_that_fails_for_a_while_is_repeated(site: Site, first: _Lead, call: str, error: StoreError) -> None:
    if call != "list_reports":
        first.go_on()
    _sweeps(site)
    first.store.fault = lambda name: error if name == call else None
    first.go_on(120)
    assert first.of.leads or call == "list_reports"
    assert str(error) in first.of.trouble
    assert first.store.calls.count(call) <= 20
    first.store.fault = lambda _: None
    first.go_on(60)
    assert first.of.trouble == ""
    assert (_result(site).generation, _plan(site).generation, _statuses(site)[CLASS].generation) == (1, 1, 1)


def test_pauses_grow_to_fifteen_seconds(first: _Lead) -> None:
    first.store.fault = lambda _: UnreachableError("etcd is away")
    pauses = [first.of.step() for _ in range(8)]
    assert pauses == [0.75, 1.5, 3.0, 6.0, 11.25, 11.25, 11.25, 11.25]


def test_a_store_that_is_away_for_longer_than_the_lease_ends_the_lead(first: _Lead) -> None:
    first.go_on()
    first.store.fault = lambda _: UnreachableError("etcd is away")
    first.go_on(LEASE_S)
    assert not first.of.leads
    first.store.fault = lambda _: None
    first.go_on(60)
    assert (first.of.leads, first.of.trouble) == (True, "")


def test_what_another_coordinator_wrote_meanwhile_is_read_and_kept(site: Site, first: _Lead) -> None:
    """Another one that believes to lead writes between the read and the write of this one."""
    first.go_on()
    _sweeps(site)
    theirs = class_result(5, POINTS[0], combined=None, made_at_s=int(site.now_s))

    def write(name: str) -> None:
        if name == "put_class" and not site.store.get_class(CLASS).result:
            site.store.put_class(COORDINATOR_KEY.sign(theirs), site.store.get_class(CLASS))

    first.store.fault = write
    first.go_on(30)
    assert (_result(site).generation, _result(site).settings()) == (5, theirs.settings())
    assert [each.node for each in _result(site).contributors] == ["a", "b", "c"]
    assert _metrics(first.of)["aio_tuned_fleet_coordinator_store_troubles_total", ""] == 0


def test_two_coordinators_at_once_agree_on_every_generation(
    site: Site, first: _Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aio_tuned.fleet.lead.Lead.hold", lambda _: True)
    monkeypatch.setattr("aio_tuned.fleet.lead.Lead.is_held", property(lambda _: True))
    monkeypatch.setattr("aio_tuned.fleet.coordination._RESTS_S", 0)
    second = _Lead(site, "c2")
    generations: dict[int, tuple[Setting | None, ...]] = {}
    for place in range(0, 12, 3):
        _sweeps(site, best=POINTS[place : place + 3])
        for _ in range(6):
            for each in (first, second):
                each.go_on(2.5, tick_s=2.5)
                result = _result(site) if site.store.get_class(CLASS).result else None
                if result:
                    assert generations.setdefault(result.generation, result.settings()) == result.settings()
    assert sorted(generations) == [1, 2, 3, 4]
    assert _plan(site).rollout
    assert _plan(site).generation == 4


def test_a_result_that_is_not_trusted_is_replaced_by_the_newest_that_is(site: Site, first: _Lead) -> None:
    _sweeps(site)
    first.go_on()
    trusted = _result(site)
    forged = STRANGERS_KEY.sign(class_result(9, POINTS[7]))
    _put_raw(site, keys.consensus(CLASS), forged.text)
    first.of.close()
    first.go_on(30)
    assert _result(site) == trusted


def test_a_class_that_cannot_be_written_does_not_stop_the_others(
    site: Site, first: _Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aio_tuned.fleet.plan.MAX_PLAN_BYTES", 100)
    _sweeps(site)
    first.go_on()
    assert f"class {CLASS}: class plan: larger than 100 bytes" in first.of.trouble
    monkeypatch.undo()
    _sweeps(site, hardware_class=OTHER, nodes="def")
    first.go_on()
    assert _plan(site, OTHER).generation == 1
    first.go_on(600)
    assert (_plan(site).generation, first.of.trouble) == (1, "")


# --- for operators ----------------------------------------------------------------------------------------


def _metrics(of: Coordinator) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(of.metrics_text())
    return {(each.name, each.labels.get("class", "")): each.value for family in families for each in family.samples}


def test_the_metrics_are_those_of_the_classes_and_of_the_coordinator(site: Site, first: _Lead) -> None:
    _sweeps(site, nodes="abcd")
    _put(site, sweep_report("d", direction_report(3e9)))
    first.go_on()
    found = _metrics(first.of)
    assert found["aio_tuned_fleet_coordinator_leader", ""] == 1
    assert found["aio_tuned_fleet_coordinator_reports", ""] == 8
    assert found["aio_tuned_fleet_class_generation", CLASS] == 1
    assert found["aio_tuned_fleet_class_nodes", CLASS] == 4
    assert found["aio_tuned_fleet_class_drives_odd", CLASS] == 1
    assert found["aio_tuned_fleet_class_sweeps_rejected", CLASS] == 1
    assert found["aio_tuned_fleet_class_disagreement", CLASS] == 0
    assert found["aio_tuned_fleet_class_rollout_step", CLASS] == 2
    first.store.fault = lambda _: UnreachableError("etcd is away")
    first.go_on(LEASE_S)
    found = _metrics(first.of)
    assert found["aio_tuned_fleet_coordinator_leader", ""] == 0
    assert found["aio_tuned_fleet_coordinator_store_reachable", ""] == 0
    assert found["aio_tuned_fleet_coordinator_store_troubles_total", ""] > 3
    assert not [name for name, key in found if key]


# --- the program ------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/elsewhere")
    (tmp_path / "signing-key").write_bytes(COORDINATOR_KEY.to_pem())
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "node-keys").write_text(f"* {NODE_KEY.public}\n")
    return Config(
        fleet=True,
        fleet_node="c1",
        fleet_trusted_keys=(COORDINATOR_KEY.public,),
        fleet_node_keys=tmp_path / "node-keys",
    )


def test_the_program_leads_until_it_is_told_to_stop(
    site: Site, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: dict[str, Any] = {}

    def open_store(*arguments: Any, **named: Any) -> MemoryStore:  # noqa: ANN401 - as access.open_store
        opened.update(named, keyring=arguments[1])
        return MemoryStore(site.shared, arguments[1], coordinator_rights())

    site.now_s = time.time()
    monkeypatch.setattr(access, "open_store", open_store)
    monkeypatch.setattr(coordinator, "WATCH_S", 0.05)
    _sweeps(site)
    stop = threading.Event()
    thread = threading.Thread(target=coordinator.run, args=(config, stop))
    thread.start()
    path = tmp_path / coordinator.METRICS_FILE
    wait_for = threading.Event()
    for _ in range(200):
        if path.exists() and 'aio_tuned_fleet_class_generation{class="' in path.read_text():
            break
        wait_for.wait(0.05)
    assert site.holder(SLOT) == "c1"
    stop.set()
    with pytest.raises(UnreachableError, match="the coordinator ends"):
        opened["sleep"](0)
    thread.join(20)
    assert not thread.is_alive()
    assert (opened["user"], opened["password"]) == ("aio-tuned-coordinator", "secret")
    assert _result(site).generation == 1
    assert site.holder(SLOT) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"fleet": False}, r"\[fleet\] enabled: is false"),
        ({"fleet_trusted_keys": (STRANGERS_KEY.public,)}, r"lacks this coordinator's public key; add "),
        ({"fleet_node_keys": None}, r"\[fleet\] node_keys: is not set"),
    ],
)
def test_the_program_tells_what_is_missing(config: Config, change: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        coordinator.run(replace(config, **change), threading.Event())
