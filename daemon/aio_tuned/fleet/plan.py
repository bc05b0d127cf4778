"""The plan of a class: what its nodes are to do now. The coordinator writes it, and each node reads it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from aio_tuned.config.parsing import whole
from aio_tuned.fleet import wire
from aio_tuned.fleet.rollout import Rollout

MAX_PLAN_BYTES = 4 << 10
MOST_SLOTS = 16

_WHAT = "class plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPlan:
    """How many sweeps the class has and is to have, which claims are open, and how far its newest generation is.

    `racks` are those of the first 16 sweeps that count, once for each sweep. `generation` and `result_made_at_s` are
    those of the class result, 0 without one, so that nodes read a result only if it is new to them. `rollout` is None
    without a generation. `made_at_s` is the Unix time.
    """

    hardware_class: str
    swept: int
    wanted: int
    open_slots: tuple[int, ...]
    racks: tuple[str, ...]
    generation: int
    result_made_at_s: int
    rollout: Rollout | None
    made_at_s: int

    def to_json(self) -> str:
        """Return the text of the plan."""
        return wire.dump(
            {
                "schema": wire.SCHEMA,
                "class": self.hardware_class,
                "swept": self.swept,
                "wanted": self.wanted,
                "open": list(self.open_slots),
                "racks": list(self.racks[:MOST_SLOTS]),
                "generation": self.generation,
                "result_made_at": self.result_made_at_s,
                "rollout": self.rollout.row() if self.rollout else None,
                "made_at": self.made_at_s,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> ClassPlan:
        """Return the plan in a text; raise FleetDataError if it is not one, or has impossible values."""
        document = wire.load(text, _WHAT, MAX_PLAN_BYTES)
        get = wire.fields(document, _WHAT)
        hardware_class: str = get("class", wire.class_key)
        return cls(
            hardware_class=hardware_class,
            swept=get("swept", whole(0, wire.MOST_DRIVES)),
            wanted=get("wanted", whole(0, wire.MOST_DRIVES)),
            open_slots=get("open", wire.rows(whole(0, MOST_SLOTS - 1), MOST_SLOTS)),
            racks=get("racks", wire.rows(wire.domain, MOST_SLOTS)),
            generation=get("generation", whole(0, wire.MOST_GENERATIONS)),
            result_made_at_s=get("result_made_at", whole(0, wire.LAST_S)),
            rollout=get("rollout", wire.optional(partial(Rollout.from_row, hardware_class))),
            made_at_s=get("made_at", whole(0, wire.LAST_S)),
        )
