"""The state machine of a drive: step(state, event) -> (state, effects)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.model.profile import Profile

_K = TypeVar("_K")

SweepKind = Literal["check", "full"]
SweepEnd = Literal["finished", "failed", "deferred"]
SWEEP_ENDS: tuple[SweepEnd, ...] = get_args(SweepEnd)


class Stage(Enum):
    """Where a drive is; `Life.reason` says why."""

    SETTLING = "settling"
    QUEUED = "queued"
    SWEEPING = "sweeping"
    PUBLISHED = "published"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest:
    """What is to be swept, and what decides whose turn comes first."""

    sweep: SweepKind
    profiled: bool
    mounted: bool
    reason: str

    @property
    def rank(self) -> tuple[bool, bool]:
        """The smaller, the sooner: no profile before a stale one, a drive in use before one that is not."""
        return (self.profiled, not self.mounted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Seconds until a failed drive is tried again: `first_s`, doubling, `max_s` at most."""

    first_s: float
    max_s: float

    def after(self, failures: int) -> float:
        """The wait after that many failures in a row."""
        # 2^64 is longer than any wait, and still a float.
        return min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveState:
    """One drive's state.

    `resting`: it is queued, and has given way until its retry. `held`: the operator has stopped it, and only he lets
    it go on: what he wanted to do with the drive (unmount it, say) must not start it again.
    """

    stage: Stage
    reason: str
    request: SweepRequest | None = None
    failures: int = 0
    resting: bool = False
    held: bool = False


# --- events ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Appeared:
    """The drive is there, or something that counts has changed: all facts are to be read again.

    `asked`: the operator wants it.
    """

    reason: str
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ineligible:
    """It is not to be swept."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Satisfied:
    """What is published holds."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepDue:
    """A sweep is due: after the drive has settled, or after a check that its sibling's profile did not survive."""

    request: SweepRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """Nobody else is swept, and it is first in the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The sweep has given a profile, `measured`."""

    reason: str
    measured: Profile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The drive could not be looked at, or its sweep went wrong, with this exit code."""

    reason: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """The sweep gave way; it goes on in `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The operator wants it left alone."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The wait that RetryIn asked for is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The drive has gone."""


Event = (
    Appeared | Ineligible | Satisfied | SweepDue | Dispatched | Finished | Failed | Deferred | Stopped | Retry | Removed
)


# --- effects ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Wait until the drive has settled, then look at it; replaces any wait there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryIn:
    """Send Retry after that time; replaces any wait there is."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSweep:
    """Start its sweep."""

    request: SweepRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSweep:
    """End its sweep; what it has measured stays in its checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Take its profile from the readers, and stop all waiting for it."""


Effect = Settle | RetryIn | StartSweep | CancelSweep | Withdraw


def step(  # noqa: C901 - a transition table, one case an event
    state: DriveState | None, event: Event, backoff: Backoff
) -> tuple[DriveState | None, tuple[Effect, ...]]:
    """The drive's next state, and what is to be done; None: there is no such drive (yet, or any more).

    An event that comes too late for the stage (the result of a sweep that was cancelled) changes nothing.
    """
    stage = state.stage if state else None
    failures = state.failures if state else 0
    cancel: tuple[Effect, ...] = (CancelSweep(),) if stage is Stage.SWEEPING else ()
    match event:
        case Removed():
            return None, (*cancel, Withdraw()) if state else ()
        case Appeared(asked=False) if state and state.held:
            pass
        case Appeared(reason=reason):
            return DriveState(stage=Stage.SETTLING, reason=reason, failures=failures), (*cancel, Settle())
        case Ineligible(reason=reason) if stage is Stage.SETTLING:
            return DriveState(stage=Stage.SKIPPED, reason=reason), ()
        case Satisfied(reason=reason) if stage is Stage.SETTLING:
            return DriveState(stage=Stage.PUBLISHED, reason=reason), ()
        case SweepDue(request=request) if stage in (Stage.SETTLING, Stage.SWEEPING):
            return DriveState(stage=Stage.QUEUED, reason=request.reason, request=request, failures=failures), ()
        case Dispatched() if state and state.request and stage is Stage.QUEUED and not state.resting:
            return replace(state, stage=Stage.SWEEPING), (StartSweep(request=state.request),)
        case Finished(reason=reason) if stage is Stage.SWEEPING:
            return DriveState(stage=Stage.PUBLISHED, reason=reason), ()
        case Failed(reason=reason) if stage in (Stage.SETTLING, Stage.SWEEPING):
            waits = RetryIn(seconds=backoff.after(failures + 1))
            return DriveState(stage=Stage.FAILED, reason=reason, failures=failures + 1), (waits,)
        case Deferred(reason=reason, seconds=seconds) if state and stage is Stage.SWEEPING:
            return replace(state, stage=Stage.QUEUED, reason=reason, resting=True), (RetryIn(seconds=seconds),)
        case Stopped(reason=reason) if state:
            return DriveState(stage=Stage.SKIPPED, reason=reason, held=True), cancel
        case Retry() if state and (stage is Stage.FAILED or state.resting):
            return DriveState(stage=Stage.SETTLING, reason=f"again after: {state.reason}", failures=failures), (
                Settle(),
            )
    return state, ()


def sweep_end(state: DriveState, event: Event) -> SweepEnd | None:
    """How the event ends the drive's sweep; None if it does not, or if the sweep was called off from outside."""
    if state.stage is not Stage.SWEEPING:
        return None
    match event:
        case Finished():
            return "finished"
        case Failed():
            return "failed"
        case Deferred():
            return "deferred"
    return None


def first_in_line(states: Mapping[_K, DriveState]) -> _K | None:
    """Whose turn it is: the queued drive that ranks first, among equals the one that comes first in `states`."""
    queued = [
        (state.request.rank, place, key)
        for place, (key, state) in enumerate(states.items())
        if state.stage is Stage.QUEUED and not state.resting and state.request
    ]
    return min(queued)[2] if queued else None
