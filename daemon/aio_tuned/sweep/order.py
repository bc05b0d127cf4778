"""The order of a sweep with its budgets, its checkpoint, and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Setting
from aio_tuned.search.choose import KEEP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import DropCaches, Phase, Sample, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to sweep, and what it may cost; both budgets are for all directions together.

    A direction's pass is planned for `pass_ns`, and its race usually ends after `race_ns`, when all that is written is
    `usual_write_bytes`; the budgets bound what more may help. The settings of a `check` are few: the first one of
    each direction is the chosen one of another drive, and `shares` are the challengers' throughputs over it there.
    `preferred` are settings to keep if they are good enough. `read_weight` weighs reads in the combined setting.
    `drop_caches` is the helper's policy; by `auto` the host's page cache is dropped once a sweep, not once a process.
    `zeroed_bytes` are written by the helper at its end. A `resumable` sweep reserves the bytes that a second process
    writes besides its measurements. `write_cap_bytes` limits this process, whatever is left of the budget. One in
    `fraction` points is measured, and then the neighbours of the best. `sustain_share` of the write budget is for
    continued writes with the chosen setting. No transfer is to take longer than `max_transfer_ns`, as far as the
    smallest one allows that. With `deadline_ns`, a time of CLOCK_MONOTONIC, the time budget includes what passes
    before and between the measurements, and the sweep ends by then. `about` has further facts that must be equal for a
    resumption (see checkpoint.header).
    """

    settings: Mapping[Direction, tuple[Setting, ...]]
    max_transfer_bytes: int
    time_budget_ns: int
    write_budget_bytes: int
    tolerance: float
    seed: int
    pass_ns: int = 12 * 10**9
    race_ns: int = 25 * 10**9
    usual_write_bytes: int = 20 << 30
    check: bool = False
    shares: Mapping[Direction, Mapping[Setting, float]] = field(default_factory=dict)
    preferred: Mapping[Direction, tuple[Setting, ...]] = field(default_factory=dict)
    read_weight: float = 0.5
    write_cap_bytes: int | None = None
    zeroed_bytes: int = 0
    fraction: int = 1
    sustain_share: float = 0.0
    resumable: bool = False
    drop_caches: DropCaches = "auto"
    max_transfer_ns: int | None = None
    deadline_ns: int | None = None
    reference: Setting = DEFAULT_SETTING
    about: Mapping[str, object] = field(default_factory=dict)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that have settings, in the order in which they are swept."""
        return tuple(direction for direction in get_args(Direction) if self.settings.get(direction))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseOutcome:
    """One direction's plans, the reason for the end of its measurements, and whether its choice is settled.

    `race` is None if the budgets did not pay for one, and `first_pass` for a check. `phase` is the one that decides:
    the race if all of its points were measured, else the pass. `passed` and `ended` are the reasons for the end of the
    pass and of all. `preferred` are the settings to keep, if they are good
    enough with the probability `keep`.
    """

    first_pass: Phase | None
    race: Phase | None
    phase: Phase
    passed: str
    ended: str
    settled: bool
    preferred: tuple[Setting, ...] = ()
    keep: float = KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """The result of a sweep: its phases, all samples in the order in which they were taken, and what it wrote.

    `written_bytes` includes the filling of the target, and `resumed` is how often the sweep was resumed.
    """

    hello: Hello
    phases: tuple[PhaseOutcome, ...]
    samples: tuple[Sample, ...]
    written_bytes: int
    resumed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """The time and the bytes that a phase was given when it was planned: usually, at the most, and to write on."""

    usual_ns: int
    time_budget_ns: int
    usual_bytes: int
    write_budget_bytes: int
    sustain_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What earlier processes have measured of a sweep; empty for a new one.

    `resumed` is the number of resumptions, this one included; each fills the scratch file again.
    """

    budgets: Mapping[tuple[Direction, Stage], Budgets] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    resumed: int = 0
