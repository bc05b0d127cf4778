"""The checkpoint of a sweep, from which another process can continue, as entries of an append-only log.

A checkpoint is a header, followed by the samples, oldest first. The budgets of a phase come between its calibration and
its other measurements, and each resumption adds an entry. The plan of a phase is not stored, since it follows from the
calibration, the budgets and the seed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, astuple, fields
from typing import TYPE_CHECKING, Any, get_args

from aio_tuned.errors import HelperError
from aio_tuned.helper import samples
from aio_tuned.model.measurement import Stage
from aio_tuned.search import plan
from aio_tuned.sweep.order import Budgets, Checkpoint, Order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.setting import Direction

# After a day of use a drive may be fuller and more worn, so older samples no longer describe it.
LONGEST_S = 86400.0


def header(order: Order, hello: Hello) -> dict[str, Any]:
    """Return the facts that must be equal for a sweep to continue with another process's samples, as JSON types."""
    found = {
        "kind": "sweep",
        "helper_version": hello.version,
        # Only the kind of buffer is compared, since its share of huge pages differs between processes.
        "buffer": hello.buffer.partition("(")[2],
        "dio_alignment_bytes": hello.dio_alignment_bytes,
        "page_bytes": hello.page_bytes,
        "fill_bytes": hello.fill_bytes,
        "counters_live": hello.counters_live,
        "settings": {direction: [astuple(one) for one in order.settings[direction]] for direction in order.directions},
        "reference": astuple(order.reference),
        "most_transfer_bytes": order.max_transfer_bytes,
        "time_budget_ns": order.time_budget_ns,
        "write_budget_bytes": order.write_budget_bytes,
        "usual": [order.pass_ns, order.race_ns, order.usual_write_bytes],
        "check": order.check,
        "preferred": {direction: [astuple(one) for one in found] for direction, found in order.preferred.items()},
        "read_weight": order.read_weight,
        "tolerance": order.tolerance,
        "seed": order.seed,
        "drop_caches": order.drop_caches,
        "max_transfer_ns": order.max_transfer_ns,
        "fraction": order.fraction,
        "sustain_share": order.sustain_share,
        "after": [order.after_ns, order.after_bytes, order.max_concurrency, order.new_files, order.consumer_memory],
        "split_bytes": order.split_bytes,
        "curves": [order.curves.engines, order.curves.sizes],
        "processes": order.processes,
        "about": dict(order.about),
    }
    return dict(json.loads(json.dumps(found)))


def first_entry(header: Mapping[str, Any], now_s: float) -> dict[str, Any]:
    """Return the first entry of a checkpoint; `now_s` is in seconds since the epoch."""
    return {**header, "when": now_s}


def phase_entry(direction: Direction, stage: Stage, budgets: Budgets) -> dict[str, Any]:
    """Return the entry of a phase that has been planned."""
    return {"kind": "phase", "direction": direction, "stage": stage, **asdict(budgets)}


def sample_entry(sample: Sample) -> dict[str, Any]:
    """Return the entry of a sample."""
    return {"kind": "sample", **samples.to_table(sample)}


def resumed_entry() -> dict[str, Any]:
    """Return the entry of a process that resumes the sweep."""
    return {"kind": "resumed"}


def has_dropped(entries: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether the recorded sweep has dropped the host's page cache."""
    return any(entry.get("cache_dropped") is True for entry in entries)


def read_seed(entries: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the seed of the recorded sweep, with which it can continue; None if the entries have none."""
    found = entries[0].get("seed") if entries else None
    return found if isinstance(found, int) else None


def _budgets(entry: Mapping[str, Any]) -> Budgets:
    found = Budgets(**{item.name: entry[item.name] for item in fields(Budgets)})
    if any(type(value) is not int for value in asdict(found).values()):
        raise ValueError(entry)
    return found


class _Reading:
    """The sums over the entries after the header; `add` raises ValueError for an entry that is out of order."""

    def __init__(self) -> None:
        self.budgets: dict[tuple[Direction, Stage], Budgets] = {}
        self.calibrated: Counter[Direction] = Counter()
        self.samples: list[Sample] = []
        self.resumed = 1

    def add(self, entry: Mapping[str, Any]) -> None:
        kind = entry["kind"]
        if kind == "resumed":
            self.resumed += 1
        elif kind == "phase":
            self._plan(entry["direction"], entry["stage"], _budgets(entry))
        elif kind == "sample":
            self._take(samples.from_table(entry))
        else:
            raise ValueError(entry)

    def _plan(self, direction: Direction, stage: Stage, budgets: Budgets) -> None:
        calibrated = self.calibrated[direction] == plan.CALIBRATION_VISITS
        if stage not in get_args(Stage) or (direction, stage) in self.budgets or not calibrated:
            raise ValueError(direction)
        self.budgets[direction, stage] = budgets

    def _take(self, sample: Sample) -> None:
        request = sample.request
        calibrates = request.purpose == "calibrate"
        planned = any(direction == request.direction for direction, _ in self.budgets)
        if calibrates == planned or (self.samples and request.id <= self.samples[-1].request.id):
            raise ValueError(request)
        self.calibrated[request.direction] += calibrates
        self.samples.append(sample)


def read(entries: Iterable[Mapping[str, Any]], header: Mapping[str, Any], now_s: float) -> Checkpoint:
    """Return the checkpoint in the entries.

    It is empty if the entries belong to a sweep with another header, are more than a day old, or are invalid.
    """
    reading = _Reading()
    try:
        first, *rest = entries
        when = first["when"]
        # The clock may have been set back, so a checkpoint up to a day in the future is accepted.
        if {**first} != first_entry(header, when) or not abs(now_s - when) <= LONGEST_S:
            return Checkpoint()
        for entry in rest:
            reading.add(entry)
    except (KeyError, TypeError, ValueError, HelperError):
        return Checkpoint()
    return Checkpoint(budgets=reading.budgets, samples=tuple(reading.samples), resumed=reading.resumed)
