"""What a consumer's module makes of a drive's settings: keys and values of that consumer's own configuration. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Format = Literal["json", "toml", "yaml", "env", "fio"]
# None is JSON's null, which no other format has.
Value: TypeAlias = "bool | int | float | str | None"


class Entry(NamedTuple):
    """A table in a list of tables: the one whose members are these."""

    match: tuple[tuple[str, Value], ...]


Key: TypeAlias = "str | Entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller asks for besides a path: a cap in bytes, and the consumer's release ("0.14.5")."""

    max_block_size: int | None = None
    for_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A part of a consumer's configuration.

    `values` are what is to be set, by path ({("aio", "block_size"): 1048576}); everything else in a configuration that
    they are merged into stays. In an environment file the path is one name, in a fio job file section and option.
    `notes` are sentences for the person: what was capped, and what of the settings this consumer cannot take.
    """

    format: Format
    values: Mapping[tuple[Key, ...], Value]
    notes: tuple[str, ...] = ()
