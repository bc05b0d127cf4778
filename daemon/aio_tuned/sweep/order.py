"""The order of a sweep with its budgets, its checkpoint, and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import DropCaches, Phase, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to sweep, and what it may cost; both budgets are for all directions together.

    `drop_caches` is the helper's policy; by `auto` the host's page cache is dropped once a sweep, not once a process.
    `zeroed_bytes` are written by the helper at its end. A `resumable` sweep reserves the bytes that a second process
    writes besides its measurements. `write_cap_bytes` limits this process, whatever is left of the budget. One in
    `fraction` points is measured, and then the neighbours of the best. `sustain_share` of the write budget is for
    continued writes with the chosen setting. No transfer is to take longer than `max_transfer_ns`, as far as the
    smallest one allows that. `about` has further facts that must be equal for a resumption (see
    checkpoint.header).
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
    drop_caches: DropCaches = "auto"
    max_transfer_ns: int | None = None
    reference: Setting = DEFAULT_SETTING
    about: Mapping[str, object] = field(default_factory=dict)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that have settings, in the order in which they are swept."""
        return tuple(direction for direction in get_args(Direction) if self.settings.get(direction))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseOutcome:
    """One direction's plan, all its samples in the order in which they were taken, and the reason for its end."""

    phase: Phase
    samples: tuple[Sample, ...]
    ended: str
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """The result of a sweep: its phases, the bytes written, and how often it was resumed."""

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
    """The time and the bytes that a phase was given when it was planned."""

    time_budget_ns: int
    write_budget_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What earlier processes have measured of a sweep; empty for a new one.

    `resumed` is the number of resumptions, this one included; each fills the scratch file again.
    """

    budgets: Mapping[Direction, Budgets] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    resumed: int = 0
