"""The result of a hardware class: one setting for all of its drives, whose sweeps gave it, and which did not count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aio_tuned.config.parsing import number, whole, word
from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import wire
from aio_tuned.fleet.report import DIRECTIONS, Rate, Share, rate
from aio_tuned.model.profile import SHARE_ONE

if TYPE_CHECKING:
    from aio_tuned.model.setting import Direction, Grid, Setting

# A file of the spool has at most 64 KiB, and the signature's envelope is in it.
MAX_RESULT_BYTES = 60 << 10
# Of contributors, rejected reports and refused points, the newest: 2 * 64 names of 264 bytes fit into a result.
MOST_NAMES = 64
MOST_CHALLENGERS = 3

# A class has a result from so many sweeps on, each on another node.
SWEEPS = 3
VOTES_LAST_S = 90 * 86400
# Clocks of nodes may be apart; a report from further ahead is not newer than others, but wrong.
MOST_AHEAD_S = 86400

_WHAT = "class result"
LONGEST_REASON = 200


class Contributor(NamedTuple):
    """A drive whose sweep counts in the result."""

    node: str
    drive: str


class Rejected(NamedTuple):
    """A drive whose sweep does not count, and the reason."""

    node: str
    drive: str
    why: str


class Refused(NamedTuple):
    """A point that checks found to be slower, which is not chosen again as long as votes last."""

    direction: Direction
    setting: Setting
    at_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDirection:
    """The setting of one direction for all drives of the class, and the median of what it gives on the contributors.

    The interval contains those of all contributors. `share` is the least share of the setting over them, in SHARE_ONE
    parts. `challengers` are the best points of other threads and block sizes, with their shares relative to the
    setting.
    """

    setting: Setting
    rate: Rate
    default_bytes_per_s: int
    latency_p99_us: float
    transfer_bytes: int
    share: int
    challengers: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCombined:
    """One setting for both directions, with its least share of the best of each direction, in SHARE_ONE parts."""

    setting: Setting
    read_share: int
    write_share: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """What a class of hardware gets: one generation of its settings.

    `disagreement` tells how the sweeps differ, and is "" if they agree; a result with one is not for nodes to take.
    `restores` is the generation whose settings this one brings back, or 0. `pinned_at_s` is the time of the
    pin that has given a setting, 0 if the sweeps gave all. `made_at_s` is the Unix time.
    """

    hardware_class: str
    generation: int
    grid: Grid
    read: ClassDirection | None
    write: ClassDirection | None
    combined: ClassCombined | None
    contributors: tuple[Contributor, ...]
    rejected: tuple[Rejected, ...] = ()
    refused: tuple[Refused, ...] = ()
    disagreement: str = ""
    restores: int = 0
    pinned_at_s: int = 0
    made_at_s: int

    def directions(self) -> tuple[tuple[Direction, ClassDirection | None], ...]:
        """Return the directions with their names."""
        return ("read", self.read), ("write", self.write)

    def settings(self) -> tuple[Setting | None, ...]:
        """Return what nodes apply: the settings of reads, of writes, and of both."""
        return tuple(part.setting if part else None for part in (self.read, self.write, self.combined))

    def to_json(self) -> str:
        """Return the text of the result."""
        return wire.dump(
            {
                "schema": wire.SCHEMA,
                "class": self.hardware_class,
                "generation": self.generation,
                "grid": wire.grid_rows(self.grid),
                **{name: _direction_row(part) for name, part in self.directions() if part},
                **({"combined": _combined_row(self.combined)} if self.combined else {}),
                "contributors": [list(each) for each in self.contributors],
                "rejected": [list(each) for each in self.rejected],
                "refused": [[each.direction, wire.setting_row(each.setting), each.at_s] for each in self.refused],
                "disagreement": self.disagreement,
                "restores": self.restores,
                "pinned_at": self.pinned_at_s,
                "made_at": self.made_at_s,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> ClassResult:
        """Return the result in a text; raise FleetDataError if it is not one, or has impossible values."""
        document = wire.load(text, _WHAT, MAX_RESULT_BYTES)
        get = wire.fields(document, _WHAT)
        found = cls(
            hardware_class=get("class", wire.class_key),
            generation=get("generation", whole(1, wire.MOST_GENERATIONS)),
            grid=get("grid", wire.grid),
            read=get("read", _direction) if "read" in document else None,
            write=get("write", _direction) if "write" in document else None,
            combined=get("combined", _combined) if "combined" in document else None,
            contributors=get("contributors", wire.rows(_contributor, MOST_NAMES)),
            rejected=get("rejected", wire.rows(_rejected, MOST_NAMES)),
            refused=get("refused", wire.rows(_refused, MOST_NAMES)),
            disagreement=get("disagreement", wire.text(LONGEST_REASON)),
            restores=get("restores", whole(0, wire.MOST_GENERATIONS)),
            pinned_at_s=get("pinned_at", whole(0, wire.LAST_S)),
            made_at_s=get("made_at", whole(0, wire.LAST_S)),
        )
        if not (found.read or found.write):
            raise FleetDataError(f"{_WHAT}: has a setting for no direction; it is ignored")
        if found.restores >= found.generation:
            raise FleetDataError(f"{_WHAT}: restores a generation that is not older than itself; it is ignored")
        return found


def _direction_row(part: ClassDirection) -> dict[str, Any]:
    return {
        "setting": wire.setting_row(part.setting),
        "rate": list(part.rate),
        "default": part.default_bytes_per_s,
        "p99_us": part.latency_p99_us,
        "transfer": part.transfer_bytes,
        "share": part.share,
        "challengers": [[wire.setting_row(each.setting), each.share] for each in part.challengers],
    }


def _direction(value: object) -> ClassDirection:
    row = wire.table(value)
    return ClassDirection(
        setting=wire.part(row, "setting", wire.setting),
        rate=wire.part(row, "rate", rate),
        default_bytes_per_s=wire.part(row, "default", whole(1, wire.MOST_BYTES)),
        latency_p99_us=wire.part(row, "p99_us", number(0, wire.MOST_LATENCY_US)),
        transfer_bytes=wire.part(row, "transfer", whole(1, wire.MOST_BYTES)),
        share=wire.part(row, "share", whole(1, SHARE_ONE)),
        challengers=wire.part(row, "challengers", wire.rows(_challenger, MOST_CHALLENGERS)),
    )


def _challenger(value: object) -> Share:
    setting, share = wire.items(value, 2)
    # A challenger may be faster than the setting that was kept, but not by more than twice.
    return Share(wire.setting(setting), whole(1, 2 * SHARE_ONE)(share))


def _combined_row(part: ClassCombined) -> dict[str, Any]:
    return {
        "setting": wire.setting_row(part.setting),
        "read_share": part.read_share,
        "write_share": part.write_share,
    }


def _combined(value: object) -> ClassCombined:
    row = wire.table(value)
    return ClassCombined(
        setting=wire.part(row, "setting", wire.setting),
        read_share=wire.part(row, "read_share", whole(1, SHARE_ONE)),
        write_share=wire.part(row, "write_share", whole(1, SHARE_ONE)),
    )


def _contributor(value: object) -> Contributor:
    node, drive = wire.items(value, 2)
    return Contributor(wire.host(node), wire.drive(drive))


def _rejected(value: object) -> Rejected:
    node, drive, why = wire.items(value, 3)
    return Rejected(wire.host(node), wire.drive(drive), wire.text(LONGEST_REASON)(why))


def _refused(value: object) -> Refused:
    direction, setting, at_s = wire.items(value, 3)
    parsed: Any = word(*DIRECTIONS)(direction)
    return Refused(parsed, wire.setting(setting), whole(0, wire.LAST_S)(at_s))
