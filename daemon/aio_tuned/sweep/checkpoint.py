"""What an interrupted sweep leaves, so that another process can continue it: the entries of an append-only log.

A record is a header, then the samples in the order in which they were taken; each phase's budgets stand between its
calibration and its other visits, and every resuming leaves a mark. The plan of a phase is not in it: it follows from
the calibration, the budgets and the seed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import HelperError
from aio_tuned.helper import samples
from aio_tuned.search import plan
from aio_tuned.sweep.order import Budgets, Checkpoint, Order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.setting import Direction

# A drive that has been in use for a day is not the one that the samples were taken on: fuller, and worn.
LONGEST_S = 86400.0


def header(order: Order, hello: Hello) -> dict[str, Any]:
    """All that must be the same if a sweep is to go on from another process's samples, as JSON gives it back."""
    found = {
        "kind": "sweep",
        "helper_version": hello.version,
        # How much of it lies on huge pages differs from process to process; whether it does not.
        "buffer": hello.buffer.partition("(")[2],
        "dio_alignment_bytes": hello.dio_alignment_bytes,
        "fill_bytes": hello.fill_bytes,
        "counters_live": hello.counters_live,
        "settings": {direction: [astuple(one) for one in order.settings[direction]] for direction in order.directions},
        "reference": astuple(order.reference),
        "most_transfer_bytes": order.max_transfer_bytes,
        "time_budget_ns": order.time_budget_ns,
        "write_budget_bytes": order.write_budget_bytes,
        "tolerance": order.tolerance,
        "seed": order.seed,
        "may_drop_caches": order.may_drop_caches,
        "fraction": order.fraction,
        "sustain_share": order.sustain_share,
        "about": dict(order.about),
    }
    return dict(json.loads(json.dumps(found)))


def first_entry(header: Mapping[str, Any], now_s: float) -> dict[str, Any]:
    """The first entry of a record."""
    return {**header, "when": now_s}


def phase_entry(direction: Direction, budgets: Budgets) -> dict[str, Any]:
    """The entry of a phase that has been planned."""
    return {
        "kind": "phase",
        "direction": direction,
        "time_budget_ns": budgets.time_budget_ns,
        "write_budget_bytes": budgets.write_budget_bytes,
    }


def sample_entry(sample: Sample) -> dict[str, Any]:
    """The entry of a sample."""
    return {"kind": "sample", **samples.to_table(sample)}


def resumed_entry() -> dict[str, Any]:
    """The entry of a process that goes on with the sweep."""
    return {"kind": "resumed"}


def read_seed(entries: Sequence[Mapping[str, Any]]) -> int | None:
    """The seed of the recorded sweep, without which it cannot go on; None if there is none."""
    found = entries[0].get("seed") if entries else None
    return found if isinstance(found, int) else None


def _budgets(entry: Mapping[str, Any]) -> Budgets:
    found = Budgets(time_budget_ns=entry["time_budget_ns"], write_budget_bytes=entry["write_budget_bytes"])
    if type(found.time_budget_ns) is not int or type(found.write_budget_bytes) is not int:
        raise ValueError(entry)
    return found


class _Reading:
    """What the entries after the header come to; ValueError at one that cannot stand where it stands."""

    def __init__(self) -> None:
        self.budgets: dict[Direction, Budgets] = {}
        self.calibrated: Counter[Direction] = Counter()
        self.samples: list[Sample] = []
        self.resumed = 1

    def add(self, entry: Mapping[str, Any]) -> None:
        kind = entry["kind"]
        if kind == "resumed":
            self.resumed += 1
        elif kind == "phase":
            self._plan(entry["direction"], _budgets(entry))
        elif kind == "sample":
            self._take(samples.from_table(entry))
        else:
            raise ValueError(entry)

    def _plan(self, direction: Direction, budgets: Budgets) -> None:
        if direction in self.budgets or self.calibrated[direction] != plan.CALIBRATION_VISITS:
            raise ValueError(direction)
        self.budgets[direction] = budgets

    def _take(self, visit: Sample) -> None:
        request = visit.request
        calibrates = request.purpose == "calibrate"
        if calibrates == (request.direction in self.budgets) or (
            self.samples and request.id <= self.samples[-1].request.id
        ):
            raise ValueError(request)
        self.calibrated[request.direction] += calibrates
        self.samples.append(visit)


def read(entries: Iterable[Mapping[str, Any]], header: Mapping[str, Any], now_s: float) -> Checkpoint:
    """What the record says of the sweep with that header; Past() if it is another's, too old, or no record."""
    reading = _Reading()
    try:
        first, *rest = entries
        when = first["when"]
        # The clock may have been set back since: an age below zero is not to be believed beyond a day either.
        if {**first} != first_entry(header, when) or not abs(now_s - when) <= LONGEST_S:
            return Checkpoint()
        for entry in rest:
            reading.add(entry)
    except (KeyError, TypeError, ValueError, HelperError):
        return Checkpoint()
    return Checkpoint(budgets=reading.budgets, samples=tuple(reading.samples), resumed=reading.resumed)
