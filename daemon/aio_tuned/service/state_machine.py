"""The state machine of a drive: states, events, effects, and the function that steps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.config.load import Config
    from aio_tuned.model.profile import Profile

_K = TypeVar("_K")

SweepKind = Literal["check", "full"]
SweepEnd = Literal["finished", "failed", "deferred"]
SWEEP_ENDS: tuple[SweepEnd, ...] = get_args(SweepEnd)


class Stage(Enum):
    """The stage of a drive; `DriveState.reason` has the reason."""

    SETTLING = "settling"
    QUEUED = "queued"
    SWEEPING = "sweeping"
    PUBLISHED = "published"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest:
    """The sweep that a drive needs, with the facts that decide its rank in the queue."""

    sweep: SweepKind
    profiled: bool
    mounted: bool
    reason: str

    @property
    def rank(self) -> tuple[bool, bool]:
        """The sort key; the smallest is swept first: drives without a profile, then those in use."""
        return (self.profiled, not self.mounted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The wait before a retry: `first_s` seconds after the first failure, doubled with each failure up to `max_s`."""

    first_s: float
    max_s: float

    @classmethod
    def from_config(cls, config: Config) -> Backoff:
        """Return the configured waits."""
        return cls(first_s=config.min_retry, max_s=config.max_retry)

    def after(self, failures: int) -> float:
        """Return the wait in seconds after that many failures in a row."""
        # The exponent is limited because a float overflows at 2^1024.
        return min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveState:
    """One drive's state.

    `resting` means that the drive is queued but deferred until its retry. `held` means that the operator has stopped it
    and only the operator can start it again; other events, such as an unmount, cannot.
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
    """The drive is new, or a fact that affects its sweep has changed; all facts must be read again.

    `asked` is true if the operator has requested it.
    """

    reason: str
    asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ineligible:
    """The drive must not be swept."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Satisfied:
    """The published profile is still valid."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepDue:
    """A sweep is due: the drive has settled, or a check did not confirm the sibling's profile."""

    request: SweepRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """A sweep is due, but must not begin for `seconds`; all facts are read again then.

    A drive that rests already rests for another reason.
    """

    request: SweepRequest
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """No sweep is running, and this drive is the first in the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The sweep has finished with the profile `measured`."""

    reason: str
    measured: Profile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The drive could not be probed, or its sweep has failed with this exit code."""

    reason: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """The sweep has ended for now; it continues in `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The operator has stopped the drive's sweeps."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The wait that RetryIn asked for is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The drive was removed."""


Event = (
    Appeared
    | Ineligible
    | Satisfied
    | SweepDue
    | Postponed
    | Dispatched
    | Finished
    | Failed
    | Deferred
    | Stopped
    | Retry
    | Removed
)


# --- effects ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Wait until the drive has settled, then probe it; this replaces any other wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryIn:
    """Send Retry after `seconds`; this replaces any other wait."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSweep:
    """Start the drive's sweep."""

    request: SweepRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSweep:
    """End the drive's sweep; its checkpoint keeps the measurements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Remove the drive's published profile, and cancel its timers."""


Effect = Settle | RetryIn | StartSweep | CancelSweep | Withdraw


def step(  # noqa: C901, PLR0912 - a transition table, one case an event
    state: DriveState | None, event: Event, backoff: Backoff
) -> tuple[DriveState | None, tuple[Effect, ...]]:
    """Return the drive's next state and the effects to carry out; the state None means that the drive was removed.

    Ignore an event that comes too late for the stage, such as the result of a cancelled sweep.
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
        case Postponed(request=request, seconds=seconds) if stage is Stage.SETTLING or (state and state.resting):
            waiting = DriveState(stage=Stage.QUEUED, reason=request.reason, request=request, failures=failures)
            return replace(waiting, resting=True), (RetryIn(seconds=seconds),)
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
            return DriveState(stage=Stage.SETTLING, reason=f"retrying after: {state.reason}", failures=failures), (
                Settle(),
            )
    return state, ()


def sweep_end(state: DriveState, event: Event) -> SweepEnd | None:
    """Return how the event ends the drive's sweep; None if it does not, or if it cancels the sweep."""
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
    """Return the queued drive of the best rank, the first in `states` of several; None if no drive is queued."""
    queued = [
        (state.request.rank, place, key)
        for place, (key, state) in enumerate(states.items())
        if state.stage is Stage.QUEUED and not state.resting and state.request
    ]
    return min(queued)[2] if queued else None
