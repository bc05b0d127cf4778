"""The pin of a class: the settings that operators give its drives in place of those that the sweeps gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.config.parsing import whole
from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import wire

if TYPE_CHECKING:
    from aio_tuned.model.setting import Setting

MAX_PIN_BYTES = 4 << 10

_WHAT = "pin"
_LONGEST_TEXT = 200
_SECTIONS = ("read", "write", "combined")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The settings of a class by an operator's word; a section that is None keeps what the sweeps gave.

    Who may write it is for the store's rights to decide, so it has no signature: nodes take what the coordinator makes
    of it, inside their grid, after their own check. `restores` is the generation that a rollback brings back, or 0.
    """

    hardware_class: str
    read: Setting | None
    write: Setting | None
    combined: Setting | None
    by: str
    why: str
    at_s: int
    restores: int = 0

    def to_json(self) -> str:
        """Return the text of the pin."""
        sections = ((key, getattr(self, key)) for key in _SECTIONS)
        return wire.dump(
            {
                "schema": wire.SCHEMA,
                "class": self.hardware_class,
                **{key: wire.setting_row(setting) if setting else None for key, setting in sections},
                "by": self.by,
                "why": self.why,
                "at": self.at_s,
                "restores": self.restores,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Pin:
        """Return the pin in a text; raise FleetDataError if it is not one, or has impossible values."""
        document = wire.load(text, _WHAT, MAX_PIN_BYTES)
        get = wire.fields(document, _WHAT)
        read, write, combined = (get(key, wire.optional(wire.setting)) for key in _SECTIONS)
        if not (read or write or combined):
            raise FleetDataError(f"{_WHAT}: has no setting; it is ignored")
        return cls(
            hardware_class=get("class", wire.class_key),
            read=read,
            write=write,
            combined=combined,
            by=get("by", wire.text(_LONGEST_TEXT)),
            why=get("why", wire.text(_LONGEST_TEXT)),
            at_s=get("at", whole(0, wire.LAST_S)),
            restores=get("restores", whole(0, wire.MOST_GENERATIONS)),
        )
