from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.helper import samples
from aio_tuned.search import grid
from aio_tuned.sweep import checkpoint
from aio_tuned.sweep.order import Budgets, Checkpoint, Order
from unit.support.builders import GIB, HELLO, MIB, SMALL_GRID, sample, setting

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Purpose, Sample, Stage
    from aio_tuned.model.setting import Direction

NOW_S = 1_764_000_000.0
ORDER = Order(
    settings={"read": grid.settings(SMALL_GRID), "write": grid.settings(SMALL_GRID)},
    max_transfer_bytes=64 * MIB,
    time_budget_ns=20_000_000_000,
    write_budget_bytes=8 * GIB,
    tolerance=0.01,
    seed=7,
    about={"device": "eui.1", "target": ["scratch", "ext4", GIB, 0]},
)
HEADER = checkpoint.header(ORDER, HELLO)


def budgets(usual: int, sustain_bytes: int = 0) -> Budgets:
    """Return budgets of so many seconds and GiB, and twice that at the most."""
    return Budgets(
        usual_ns=usual * 10**9,
        time_budget_ns=2 * usual * 10**9,
        usual_bytes=usual * GIB,
        write_budget_bytes=2 * usual * GIB,
        sustain_bytes=sustain_bytes,
    )


BUDGETS: dict[tuple[Direction, Stage], Budgets] = {
    ("read", "pass"): budgets(5),
    ("write", "pass"): budgets(4),
    ("read", "race"): budgets(3),
    ("write", "race"): budgets(2, sustain_bytes=GIB),
}


def taken(direction: Direction, purpose: Purpose, first: int, count: int) -> list[Sample]:
    return [
        sample(setting(depth=2 + number), direction=direction, purpose=purpose, number=first + number)
        for number in range(count)
    ]


SAMPLES = (
    *taken("read", "calibrate", 1, 4),
    *taken("read", "pass", 5, 6),
    *taken("write", "calibrate", 11, 4),
    *taken("write", "pass", 15, 3),
    *taken("read", "repeat", 18, 2),
    *taken("write", "repeat", 20, 2),
    *taken("write", "sustain", 22, 1),
)
# The number of samples before each phase was planned.
PLANNED: dict[int, tuple[Direction, Stage]] = {
    4: ("read", "pass"),
    14: ("write", "pass"),
    17: ("read", "race"),
    19: ("write", "race"),
}


def entries() -> list[dict[str, Any]]:
    """A whole record, as a journal gives it back."""
    made: list[dict[str, Any]] = [checkpoint.first_entry(HEADER, NOW_S - 100)]
    for number, one in enumerate(SAMPLES):
        if number in PLANNED:
            made.append(checkpoint.phase_entry(*PLANNED[number], BUDGETS[PLANNED[number]]))
        made.append(checkpoint.sample_entry(one))
    return [json.loads(json.dumps(entry)) for entry in made]


def test_a_record_is_read_as_it_was_written() -> None:
    assert checkpoint.read(entries(), HEADER, NOW_S) == Checkpoint(budgets=BUDGETS, samples=SAMPLES, resumed=1)


def test_the_processor_time_is_kept_and_may_be_missing() -> None:
    entry = json.loads(json.dumps(checkpoint.sample_entry(replace(SAMPLES[0], cpu_ns=7))))
    assert checkpoint.read([checkpoint.first_entry(HEADER, NOW_S), entry], HEADER, NOW_S).samples[0].cpu_ns == 7
    del entry["cpu_ns"]
    assert checkpoint.read([checkpoint.first_entry(HEADER, NOW_S), entry], HEADER, NOW_S).samples[0].cpu_ns == 0
    assert (
        checkpoint.read([checkpoint.first_entry(HEADER, NOW_S), {**entry, "cpu_ns": -1}], HEADER, NOW_S) == Checkpoint()
    )


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(NUMBERS, NUMBERS)
def test_when_and_how_warm_it_was_are_kept(at_s: float | None, celsius: float | None) -> None:
    visit = replace(SAMPLES[0], at_s=at_s, celsius=celsius)
    entry = json.loads(json.dumps(checkpoint.sample_entry(visit)))
    assert checkpoint.read([checkpoint.first_entry(HEADER, NOW_S), entry], HEADER, NOW_S).samples == (visit,)
    (line,) = samples.to_lines([visit]).splitlines()
    assert samples.from_table(json.loads(line)) == visit


def test_older_records_know_neither_time_nor_temperature() -> None:
    old = entries()
    for entry in old:
        entry.pop("at_s", None)
        entry.pop("celsius", None)
    assert checkpoint.read(old, HEADER, NOW_S) == Checkpoint(budgets=BUDGETS, samples=SAMPLES, resumed=1)


@pytest.mark.parametrize("key", ["at_s", "celsius"])
@pytest.mark.parametrize("wrong", ["41", True, [], float("nan"), float("inf"), 10**400], ids=range(6))
def test_a_time_or_temperature_that_is_none_is_no_past(key: str, wrong: object) -> None:
    entry = {**checkpoint.sample_entry(SAMPLES[0]), key: wrong}
    assert checkpoint.read([checkpoint.first_entry(HEADER, NOW_S), entry], HEADER, NOW_S) == Checkpoint()


def test_every_resuming_is_counted() -> None:
    found = entries()
    found[3:3] = [checkpoint.resumed_entry()]
    found.append(checkpoint.resumed_entry())
    assert checkpoint.read(found, HEADER, NOW_S) == Checkpoint(budgets=BUDGETS, samples=SAMPLES, resumed=3)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(1, len(SAMPLES) + 5))
def test_a_record_may_end_anywhere(length: int) -> None:
    found = checkpoint.read(entries()[:length], HEADER, NOW_S)
    assert found.resumed == 1
    assert found.samples == SAMPLES[: len(found.samples)]
    assert len(found.samples) + len(found.budgets) == length - 1


def test_nothing_is_no_past() -> None:
    assert checkpoint.read([], HEADER, NOW_S) == Checkpoint()
    assert checkpoint.read_seed([]) is None


def test_the_seed_is_in_the_record() -> None:
    assert checkpoint.read_seed(entries()) == 7
    assert checkpoint.read_seed([{"kind": "sweep", "seed": "x"}]) is None


def test_a_record_tells_whether_the_hosts_cache_was_dropped() -> None:
    kept: list[dict[str, object]] = [{"kind": "sweep"}, {"kind": "sample", "cache_dropped": False}]
    assert not checkpoint.has_dropped(kept)
    assert checkpoint.has_dropped([*kept, {"kind": "sample", "cache_dropped": True}, {"kind": "resumed"}])


# --- which sweep it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        checkpoint.header(replace(ORDER, **changes), HELLO)
        for changes in (
            {"settings": {"read": ORDER.settings["read"]}},
            {"settings": {**ORDER.settings, "write": ORDER.settings["write"][1:]}},
            {"max_transfer_bytes": 32 * MIB},
            {"time_budget_ns": 1},
            {"write_budget_bytes": 1},
            {"tolerance": 0.02},
            {"pass_ns": 1},
            {"race_ns": 1},
            {"usual_write_bytes": 1},
            {"check": True},
            {"preferred": {"read": (setting(depth=1),)}},
            {"read_weight": 0.4},
            {"fraction": 5},
            {"sustain_share": 0.5},
            {"max_transfer_ns": 50_000_000},
            {"seed": 8},
            {"drop_caches": "file"},
            {"reference": setting(depth=1)},
            {"about": {**ORDER.about, "device": "eui.2"}},
        )
    ]
    + [
        checkpoint.header(ORDER, replace(HELLO, **changes))
        for changes in (
            {"version": "0.0.9"},
            {"buffer": "256 MiB, 0 MiB of it huge pages (pages), not locked"},
            {"dio_alignment_bytes": 4096},
            {"fill_bytes": 1},
            {"counters_live": False},
        )
    ],
)
def test_another_sweeps_record_is_no_past(other: dict[str, Any]) -> None:
    assert other != HEADER
    assert checkpoint.read(entries(), other, NOW_S) == Checkpoint()


@pytest.mark.parametrize("changes", [{"write_cap_bytes": 5}, {"resumable": True}])
def test_what_may_differ_between_the_processes_of_a_sweep(changes: dict[str, Any]) -> None:
    assert checkpoint.header(replace(ORDER, **changes), HELLO) == HEADER


@pytest.mark.parametrize(
    ("age_s", "fresh"), [(0, True), (86_400, True), (86_401, False), (-3600, True), (-90_000, False)]
)
def test_a_record_ages_even_if_the_clock_is_set_back(age_s: float, fresh: bool) -> None:
    found = checkpoint.read([checkpoint.first_entry(HEADER, NOW_S - age_s), *entries()[1:]], HEADER, NOW_S)
    assert bool(found.samples) is fresh


@pytest.mark.parametrize("when", ["x", None, float("nan"), [], {}])
def test_a_record_without_a_time_is_no_past(when: object) -> None:
    assert checkpoint.read([{**HEADER, "when": when}, *entries()[1:]], HEADER, NOW_S) == Checkpoint()


# --- what is not a record --------------------------------------------------------------------------------


def changed(at: int, *path: str, value: object) -> list[dict[str, Any]]:
    found = entries()
    table = found[at]
    for key in path[:-1]:
        table = table[key]
    if value == "missing":
        del table[path[-1]]
    else:
        table[path[-1]] = value
    return found


@pytest.mark.parametrize(
    "wrong",
    [
        changed(3, "kind", value="news"),
        changed(3, "kind", value="missing"),
        changed(3, "kind", value=[]),
        changed(3, "request", "id", value=2),
        changed(3, "request", "id", value="3"),
        changed(3, "request", "id", value=True),
        changed(3, "request", "direction", value="trim"),
        changed(3, "request", "direction", value=[]),
        changed(3, "request", "purpose", value="fun"),
        changed(3, "request", "drop_caches", value="yes"),
        changed(3, "request", "transfer_bytes", value=-1),
        changed(3, "request", "transfer_bytes", value=1),
        changed(3, "request", "later", value=1),
        changed(3, "request", "min_ns", value="missing"),
        changed(3, "request", "setting", value=None),
        changed(3, "request", "setting", "block_size", value=0),
        changed(3, "request", "setting", "queue_depth", value=1.0),
        changed(3, "request", "setting", "overlap_events", value=1),
        changed(3, "request", "setting", "single_submit", value="missing"),
        changed(3, "bytes", value=1),
        changed(3, "elapsed_ns", value=1),
        changed(3, "wall_ns", value=0),
        changed(3, "transfers_ns", value=[]),
        changed(3, "transfers_ns", value="missing"),
        changed(3, "cache_verdict", value="maybe"),
        changed(3, "device_read_bytes", value=-1),
        changed(5, "direction", value="write"),
        changed(5, "direction", value="trim"),
        changed(5, "stage", value="finals"),
        changed(5, "stage", value="missing"),
        changed(5, "stage", value=[]),
        changed(5, "usual_ns", value="missing"),
        changed(5, "usual_bytes", value=1.5),
        changed(5, "sustain_bytes", value="missing"),
        changed(5, "time_budget_ns", value="1"),
        changed(5, "write_budget_bytes", value="missing"),
        # a race that is planned twice
        [*entries(), checkpoint.phase_entry("read", "race", BUDGETS["read", "race"])],
        # a phase that was planned without all of its calibration, visits before the plan, a plan made twice
        entries()[:3] + entries()[5:],
        entries()[:5] + entries()[6:],
        entries()[:6] + entries()[5:],
        entries()[:6] + entries()[1:2],
        entries()[:7] + entries(),
    ],
)
def test_entries_that_cannot_be_are_no_past(wrong: list[dict[str, Any]]) -> None:
    assert checkpoint.read(wrong, HEADER, NOW_S) == Checkpoint()
