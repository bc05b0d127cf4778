"""The order of a sweep with its budgets, its checkpoint, and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, get_args

from aio_tuned.model.setting import DEFAULT_SETTING, Direction, Setting
from aio_tuned.search.choose import KEEP
from aio_tuned.search.curve_plan import SPLIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import DropCaches, Engine, Phase, Sample, Stage
    from aio_tuned.search.curve_plan import CurvePlan
    from aio_tuned.search.extra import Extra


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveOrder:
    """The engines and the request sizes of the curves to measure; none by default."""

    engines: tuple[Engine, ...] = ()
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The settings to sweep and the limits of the sweep; both budgets are for all directions together.

    The pass of a direction is planned for `pass_ns`. Its race usually ends after `race_ns` or `usual_write_bytes`;
    beyond these, the budgets apply. In a `check` the first setting of each direction is the sibling's, and `shares`
    holds the throughputs of the challengers on the sibling, relative to that setting. `preferred` are settings to keep
    if they are good enough. `read_weight` weighs reads in the combined setting. `drop_caches` is the helper's policy;
    `auto` drops the host's page cache once a sweep, not once a process. The helper writes `zeroed_bytes` at its end. A
    `resumable` sweep reserves the bytes that a second process writes in addition to its measurements. `write_cap_bytes`
    limits this process, whatever the rest of the budget. One in `fraction` points is measured, then the neighbours of
    the best. `sustain_share` is the share of the write budget for sustained writes with the chosen setting. Transfers
    are planned to take at most `max_transfer_ns`, unless the smallest one takes longer, and a measurement ends early
    once other processes have moved `max_foreign_bytes` (0: no limit). With `deadline_ns`, a time of
    CLOCK_MONOTONIC, the time budget includes the time before and between the measurements, and the sweep ends by then.
    `curves` are the engines and sizes of the curves by request size, and `processes` the numbers of processes that are
    measured at once. These and the other experiments after the choice have `after_ns` and `after_bytes` of the budgets;
    without time there are none. They have at most `max_concurrency` requests in flight. New files are written
    only with `new_files`, and huge pages are measured only beside a buffer of `consumer_memory`. The block
    layer splits requests longer than `split_bytes`. `about` holds further facts that must be equal for a resumption
    (see checkpoint.header).
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
    max_foreign_bytes: int = 0
    deadline_ns: int | None = None
    curves: CurveOrder = CurveOrder()
    processes: tuple[int, ...] = ()
    after_ns: int = 0
    after_bytes: int = 0
    max_concurrency: int | None = None
    split_bytes: int = SPLIT_BYTES
    new_files: bool = True
    consumer_memory: bool = True
    reference: Setting = DEFAULT_SETTING
    about: Mapping[str, object] = field(default_factory=dict)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions with settings, in the order of the sweep."""
        return tuple(direction for direction in get_args(Direction) if self.settings.get(direction))


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseOutcome:
    """The plans of one direction, the reason for the end of its measurements, and whether its choice is settled.

    `race` is None if the budgets were too small for one, `first_pass` is None for a check. `phase` is the deciding one:
    the race if all of its points were measured, else the pass. `passed` is the reason for the end of the pass, `ended`
    that of the last phase. `preferred` are settings to keep if they are within the tolerance with the probability
    `keep`.
    """

    first_pass: Phase | None
    race: Phase | None
    phase: Phase
    passed: str
    ended: str
    settled: bool
    preferred: tuple[Setting, ...] = ()
    keep: float = KEEP


class Failed(NamedTuple):
    """The experiment that the helper could not finish, and the helper's message."""

    activity: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiments:
    """The experiments after the choice of a sweep, as planned.

    `absent` has the engines that the host forbids, with the reason. After the one that `failed` none was made, and the
    helper has ended.
    """

    curves: tuple[CurvePlan, ...] = ()
    memory: tuple[Extra, ...] = ()
    new_file: Extra | None = None
    processes: tuple[Extra, ...] = ()
    numbers: tuple[int, ...] = ()
    absent: tuple[tuple[Engine, str], ...] = ()
    failed: Failed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """The result of a sweep: its phases, all samples, oldest first, and the bytes written.

    `written_bytes` includes the filling of the target, and `resumed` is the number of resumptions. `after` are the
    experiments after the choice, whose results follow from the samples.
    """

    hello: Hello
    phases: tuple[PhaseOutcome, ...]
    samples: tuple[Sample, ...]
    written_bytes: int
    resumed: int = 0
    after: Experiments = Experiments()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """The time and the bytes of a phase as planned: the usual limits, the budgets, and those of sustained writes."""

    usual_ns: int
    time_budget_ns: int
    usual_bytes: int
    write_budget_bytes: int
    sustain_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The samples and budgets of a sweep from earlier processes; empty for a new sweep.

    `resumed` is the number of resumptions, this one included; each fills the scratch file again.
    """

    budgets: Mapping[tuple[Direction, Stage], Budgets] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    resumed: int = 0
