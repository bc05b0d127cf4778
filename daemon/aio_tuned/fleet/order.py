"""The order to the daemon for one drive, which the agent writes into the spool."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from aio_tuned.config.parsing import whole, word
from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import wire

# A file of the spool; the class result in it has its own limit.
MAX_ORDER_BYTES = 64 << 10

_WHAT = "fleet order"
_LONGEST_SENTENCE = 200

# "wait": for the sweeps of other nodes, or for this node's turn. "check": the class result. "sweep": for the class.
Task = Literal["wait", "check", "sweep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the fleet asks of one drive, and the sentence that tells operators why.

    `result` is the signed text of the class result, "" without one: its signature is the receiver's to check. The agent
    is not trusted: an order can at most have a drive sweep, check or wait, each within the daemon's own limits.
    """

    drive: str
    hardware_class: str
    task: Task
    said: str
    result: str
    made_at_s: int

    def to_json(self) -> str:
        """Return the text of the order."""
        return wire.dump(
            {
                "schema": wire.SCHEMA,
                "drive": self.drive,
                "class": self.hardware_class,
                "task": self.task,
                "said": self.said[:_LONGEST_SENTENCE],
                "made_at": self.made_at_s,
                "result": json.loads(self.result) if self.result else None,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Order:
        """Return the order in a text; raise FleetDataError if it is not one, or has impossible values."""
        document = wire.load(text, _WHAT, MAX_ORDER_BYTES)
        get = wire.fields(document, _WHAT)
        result: Any = get("result", wire.optional(wire.table))
        try:
            # The signature covers this one way to write it.
            signed = wire.dump(result) if result else ""
        except (ValueError, RecursionError):
            raise FleetDataError(f"{_WHAT}: its class result is not valid JSON; it is ignored") from None
        return cls(
            drive=get("drive", wire.drive),
            hardware_class=get("class", wire.class_key),
            task=get("task", word(*get_args(Task))),
            said=get("said", wire.text(_LONGEST_SENTENCE)),
            result=signed,
            made_at_s=get("made_at", whole(0, wire.LAST_S)),
        )
