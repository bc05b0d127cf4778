"""The report of one drive to its fleet, and its JSON text, which is checked as foreign input when it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args

from aio_tuned.config.parsing import SETTING_KEYS, flag, number, whole, word
from aio_tuned.errors import FleetDataError
from aio_tuned.fleet import wire
from aio_tuned.model.profile import SHARE_ONE, State
from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Grid, Setting

# A report with its signature takes at most 1 KiB, of which the envelope has 128: a signature of Ed25519 is 88
# characters in base64.
MAX_REPORT_BYTES = 1024 - 128
BEST_POINTS = 16
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

_WHAT = "drive report"
_LONGEST_VERSION = 32
_LONGEST_ABOUT = 100
# All reports share the settings of up to this many points, since a coordinator holds 80,000 reports.
_MOST_SHARED = 4096

# A sweep measures every point, a check the settings of a class result; a presence tells that the drive is there.
Basis = Literal["sweep", "check", "presence"]
BASES: tuple[Basis, ...] = get_args(Basis)


class Rate(NamedTuple):
    """A throughput with the limits of its 95 % confidence interval."""

    bytes_per_s: int
    low_bytes_per_s: int
    high_bytes_per_s: int


class Share(NamedTuple):
    """A point, and its throughput in SHARE_ONE parts of the drive's best point's."""

    setting: Setting
    share: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionReport:
    """The setting of one direction and its figures on this drive.

    `best` has the drive's 16 best points, fastest first, and may have fewer; a check has none. `before` is what the
    setting of the generation before gave in the same check, None without one.
    """

    setting: Setting
    rate: Rate
    default_bytes_per_s: int
    latency_p99_us: float
    transfer_bytes: int
    best: tuple[Share, ...] = ()
    before: Rate | None = None

    def share_of(self, setting: Setting) -> int:
        """Return the share of a point; one that is not among the best counts as the last of them."""
        return dict(self.best).get(setting, self.best[-1].share)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveReport:
    """What one drive gives, from a full sweep of the grid or from a check of its class's setting, or that it is there.

    `state` is that of the drive's profile. `generation` is the class result that was checked, or, of a presence, that
    the profile has; 0 for none. `confirms` is whether a check confirmed it, else None. `domain` is the node's rack, ""
    if unknown. `at_s` is the Unix time of the measurement or the change of a presence, and `sent_s` that of its
    signature. `about` names model, firmware, size and filesystem of a presence.
    """

    node: str
    drive: str
    domain: str
    hardware_class: str
    state: State
    basis: Basis
    generation: int
    confirms: bool | None
    grid: Grid
    read: DirectionReport | None
    write: DirectionReport | None
    tool_version: str
    helper_version: str
    at_s: int
    sent_s: int = 0
    about: str = ""

    def directions(self) -> tuple[tuple[Direction, DirectionReport | None], ...]:
        """Return the directions with their names."""
        return ("read", self.read), ("write", self.write)

    def to_json(self) -> str:
        """Return the text of the report, with as many of the best points as fit; raise FleetDataError if none do."""
        for points in range(BEST_POINTS, 0, -1):
            text = wire.dump(self._document(points))
            if len(text.encode()) <= MAX_REPORT_BYTES:
                return text
        raise FleetDataError(
            f"{_WHAT} of {self.drive}: larger than {MAX_REPORT_BYTES} bytes; shorten the lists of [grid]"
        )

    def _document(self, points: int) -> dict[str, Any]:
        return {
            "schema": wire.SCHEMA,
            "node": self.node,
            "drive": self.drive,
            "domain": self.domain,
            "class": self.hardware_class,
            "state": self.state,
            "basis": self.basis,
            "generation": self.generation,
            "confirms": self.confirms,
            "at": self.at_s,
            "sent": self.sent_s,
            "about": self.about[:_LONGEST_ABOUT],
            "versions": [self.tool_version, self.helper_version],
            "grid": wire.grid_rows(self.grid),
            **{name: _row(part, self.grid, points) for name, part in self.directions() if part},
        }

    @classmethod
    def from_json(cls, text: str | bytes) -> DriveReport:
        """Return the report in a text; raise FleetDataError if it is not one, or has impossible values."""
        document = wire.load(text, _WHAT, MAX_REPORT_BYTES)
        get = wire.fields(document, _WHAT)
        grid = get("grid", wire.grid)
        tool, helper = get("versions", _versions)
        parts = {key: get(key, lambda value: _direction(value, grid)) for key in DIRECTIONS if key in document}
        found = cls(
            node=get("node", wire.host),
            drive=get("drive", wire.drive),
            domain=get("domain", wire.domain),
            hardware_class=get("class", wire.class_key),
            state=get("state", word(*get_args(State))),
            basis=get("basis", word(*BASES)),
            generation=get("generation", whole(0, wire.MOST_GENERATIONS)),
            confirms=get("confirms", wire.optional(flag)),
            grid=grid,
            read=parts.get("read"),
            write=parts.get("write"),
            tool_version=tool,
            helper_version=helper,
            at_s=get("at", whole(0, wire.LAST_S)),
            sent_s=get("sent", whole(0, wire.LAST_S)),
            about=get("about", wire.text(_LONGEST_ABOUT)),
        )
        _check(found)
        return found


def _check(found: DriveReport) -> None:
    """Raise FleetDataError if parts of the report contradict each other."""
    parts = [part for _, part in found.directions() if part]
    if found.basis == "presence" and parts:
        raise FleetDataError(f"{_WHAT}: a presence with a measurement; it is ignored")
    if found.basis != "presence" and not parts:
        raise FleetDataError(f"{_WHAT}: no direction was measured; it is ignored")
    if (found.basis == "check") != (found.confirms is not None):
        raise FleetDataError(f"{_WHAT}: a check, and only a check, confirms a generation or does not; it is ignored")
    if found.basis == "check" and not found.generation:
        raise FleetDataError(f"{_WHAT}: a check without the generation that it checked; it is ignored")
    if found.basis == "sweep" and not all(part.best for part in parts):
        raise FleetDataError(f"{_WHAT}: a sweep without its best points; it is ignored")


def _versions(value: object) -> tuple[str, str]:
    tool, helper = map(wire.text(_LONGEST_VERSION), wire.items(value, 2))
    return tool, helper


def _row(part: DirectionReport, grid: Grid, points: int) -> list[Any]:
    """Return the direction as a list, since names of fields would take a tenth of the report."""
    best = [value for each in part.best[:points] for value in (_index(each.setting, grid), SHARE_ONE - each.share)]
    return [
        wire.setting_row(part.setting),
        list(part.rate),
        part.default_bytes_per_s,
        part.latency_p99_us,
        part.transfer_bytes,
        best,
        list(part.before) if part.before else None,
    ]


def _direction(value: object, grid: Grid) -> DirectionReport:
    setting, found, default, p99_us, transfer, best, before = wire.items(value, 7)
    return DirectionReport(
        setting=wire.setting(setting),
        rate=rate(found),
        default_bytes_per_s=whole(1, wire.MOST_BYTES)(default),
        latency_p99_us=number(0, wire.MOST_LATENCY_US)(p99_us),
        transfer_bytes=whole(1, wire.MOST_BYTES)(transfer),
        best=_best(best, grid),
        before=wire.optional(rate)(before),
    )


def rate(value: object) -> Rate:
    """Return the throughput in a row of three numbers; raise ValueError if it is outside its own interval."""
    found = Rate(*map(whole(1, wire.MOST_BYTES), wire.items(value, 3)))
    if not found.low_bytes_per_s <= found.bytes_per_s <= found.high_bytes_per_s:
        raise ValueError("not a throughput within its interval")
    return found


def _best(value: object, grid: Grid) -> tuple[Share, ...]:
    """Return the points, fastest first, from pairs of a place in the grid and a loss in SHARE_ONE parts.

    Raise ValueError if a point is not of the grid or occurs twice, or if the losses do not rise from 0.
    """
    flat = wire.rows(whole(0, wire.MOST_POINTS), 2 * BEST_POINTS)(value)
    losses = list(flat[1::2])
    if len(flat) % 2 or losses != sorted(losses) or (losses and (losses[0] or losses[-1] >= SHARE_ONE)):
        raise ValueError(f"losses of the best points do not rise from 0 to less than {SHARE_ONE}")
    found = tuple(
        Share(_setting_at(place, grid), SHARE_ONE - loss) for place, loss in zip(flat[::2], losses, strict=True)
    )
    if len({each.setting for each in found}) < len(found):
        raise ValueError("a point occurs twice among the best")
    return found


def _sizes(grid: Grid) -> list[int]:
    return [len(getattr(grid, key)) for key in SETTING_KEYS]


def _index(setting: Setting, grid: Grid) -> int:
    """Return the place of a setting in the product of the grid's values; the default, if outside, follows the last."""
    place = 0
    for key, size in zip(SETTING_KEYS, _sizes(grid), strict=True):
        values = getattr(grid, key)
        if getattr(setting, key) not in values:
            if setting == DEFAULT_SETTING:
                return _count(grid)
            raise FleetDataError(f"{_WHAT}: a point is not of its grid: {key} {getattr(setting, key)}")
        place = place * size + values.index(getattr(setting, key))
    return place


def _count(grid: Grid) -> int:
    return math.prod(_sizes(grid))


@lru_cache(maxsize=_MOST_SHARED)
def _setting_at(index: int, grid: Grid) -> Setting:
    """Return the setting at a place; raise ValueError if the grid has none there."""
    if index == _count(grid):
        return DEFAULT_SETTING
    if index > _count(grid):
        raise ValueError(f"point {index} is not of the grid")
    found: dict[str, Any] = {}
    for key, size in reversed(list(zip(SETTING_KEYS, _sizes(grid), strict=True))):
        index, place = divmod(index, size)
        found[key] = getattr(grid, key)[place]
    return Setting(**found)
