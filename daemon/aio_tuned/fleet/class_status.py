"""The status of a class, which the coordinator computes once, so that operators need not read all reports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from aio_tuned.config.parsing import whole
from aio_tuned.fleet import wire
from aio_tuned.fleet.consensus import MOST_NAMES
from aio_tuned.fleet.rollout import Rollout
from aio_tuned.formatting import printable

# The longest texts of all drives that are noted fit.
MAX_STATUS_BYTES = 512 << 10

_WHAT = "class status"
_LONGEST_TEXT = 300
_COUNTS = ("nodes", "drives", "confirmed", "refused", "waiting", "stale", "ignored", "swept", "wanted")


class Noted(NamedTuple):
    """A drive that needs a look, and the reason; `kind` is "odd", "stale", "ignored" or "refused".

    An ignored report may have any text as its node and drive.
    """

    kind: str
    node: str
    drive: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassStatus:
    """The drives of a class in numbers, the state of its newest generation, and the drives that need a look.

    `about` describes the hardware. `nodes` and `drives` are those that reported lately. `confirmed` are the drives
    whose profile has the newest generation, `refused` those whose check did not confirm it, and `waiting` those without
    a measured profile. `ignored` counts reports that were not trusted. `decision` is the sentence on the rollout, and
    `pinned` that on the operators' settings, or "".
    """

    hardware_class: str
    about: str
    generation: int
    nodes: int
    drives: int
    confirmed: int
    refused: int
    waiting: int
    stale: int
    ignored: int
    swept: int
    wanted: int
    rollout: Rollout | None
    decision: str
    disagreement: str
    pinned: str
    noted: tuple[Noted, ...]
    made_at_s: int

    def to_json(self) -> str:
        """Return the text of the status."""
        return wire.dump(
            {
                "schema": wire.SCHEMA,
                "class": self.hardware_class,
                "about": _shown(self.about),
                "generation": self.generation,
                **{key: getattr(self, key) for key in _COUNTS},
                "rollout": self.rollout.row() if self.rollout else None,
                "decision": _shown(self.decision),
                "disagreement": _shown(self.disagreement),
                "pinned": _shown(self.pinned),
                "noted": [list(map(_shown, each)) for each in self.noted[:MOST_NAMES]],
                "made_at": self.made_at_s,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> ClassStatus:
        """Return the status in a text; raise FleetDataError if it is not one, or has impossible values."""
        document = wire.load(text, _WHAT, MAX_STATUS_BYTES)
        get = wire.fields(document, _WHAT)
        hardware_class: str = get("class", wire.class_key)
        return cls(
            hardware_class=hardware_class,
            about=get("about", _text),
            generation=get("generation", whole(0, wire.MOST_GENERATIONS)),
            **{key: get(key, whole(0, wire.MOST_DRIVES)) for key in _COUNTS},
            rollout=get("rollout", wire.optional(partial(Rollout.from_row, hardware_class))),
            decision=get("decision", _text),
            disagreement=get("disagreement", _text),
            pinned=get("pinned", _text),
            noted=get("noted", wire.rows(_noted, MOST_NAMES)),
            made_at_s=get("made_at", whole(0, wire.LAST_S)),
        )


_text = wire.text(_LONGEST_TEXT)


def _noted(value: object) -> Noted:
    return Noted(*map(_text, wire.items(value, len(Noted._fields))))


def _shown(text: str) -> str:
    return printable(text)[:_LONGEST_TEXT]
