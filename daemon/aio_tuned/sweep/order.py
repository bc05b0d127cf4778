"""What to sweep at which cost, what is known already, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import Phase, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to sweep, and what it may cost: both budgets are for all directions together.

    `device_number`, if given, is where the helper must find itself; `may_drop_caches` allows to ask for a drop when
    a visit turns out to have been served from a cache. `zeroed_bytes` are written as the helper leaves. A `resumable`
    sweep keeps back what a second process writes besides its visits. `write_cap_bytes` is what this process may write,
    whatever the budget has left. One of `fraction` points is visited, and then the neighbours of the best;
    `sustain_share` of the write budget is for writing on with the setting that was found. `about` is what else must be
    the same for a resuming (see record.header).
    """

    settings: Mapping[Direction, tuple[Setting, ...]]
    max_transfer_bytes: int
    time_budget_ns: int
    write_budget_bytes: int
    tolerance: float
    seed: int
    write_cap_bytes: int | None = None
    zeroed_bytes: int = 0
    fraction: int = 1
    sustain_share: float = 0.0
    resumable: bool = False
    may_drop_caches: bool = True
    device_number: str = ""
    reference: Setting = DEFAULT_SETTING
    about: Mapping[str, object] = field(default_factory=dict)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that have settings, in the order in which they are swept."""
        return tuple(direction for direction in get_args(Direction) if self.settings.get(direction))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseOutcome:
    """One direction's plan, all its samples in the order in which they were taken, and why it ended."""

    phase: Phase
    samples: tuple[Sample, ...]
    ended: str
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """Everything that a sweep found out."""

    hello: Hello
    phases: tuple[PhaseOutcome, ...]
    written_bytes: int
    resumed: int = 0

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples of all phases."""
        return tuple(sample for phase in self.phases for sample in phase.samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What a phase was given when it was planned."""

    time_budget_ns: int
    write_budget_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is known of a sweep when a process begins with it.

    `resumed` is how often it has been resumed, this time included: each time the scratch file is filled again.
    """

    budgets: Mapping[Direction, Budgets] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    resumed: int = 0
