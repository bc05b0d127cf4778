from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.service.state_machine import (
    Appeared,
    Backoff,
    CancelSweep,
    Deferred,
    Dispatched,
    DriveState,
    Effect,
    Event,
    Failed,
    Finished,
    Ineligible,
    Postponed,
    Removed,
    Retry,
    RetryIn,
    Satisfied,
    Settle,
    Stage,
    StartSweep,
    Stopped,
    SweepDue,
    SweepRequest,
    Withdraw,
    first_in_line,
    step,
)

BACKOFF = Backoff(first_s=60.0, max_s=3600.0)
WANT = SweepRequest(sweep="full", profiled=False, mounted=True, reason="not measured yet")
OTHER_WANT = SweepRequest(sweep="full", profiled=False, mounted=True, reason="the check disagreed")

# Three failures lie behind each, so that it shows where they are forgotten.
STATES: dict[str, DriveState | None] = {
    "none": None,
    "settling": DriveState(stage=Stage.SETTLING, reason="old", failures=3),
    "queued": DriveState(stage=Stage.QUEUED, reason="old", request=WANT, failures=3),
    "resting": DriveState(stage=Stage.QUEUED, reason="old", request=WANT, failures=3, resting=True),
    "sweeping": DriveState(stage=Stage.SWEEPING, reason="old", request=WANT, failures=3),
    "published": DriveState(stage=Stage.PUBLISHED, reason="old"),
    "skipped": DriveState(stage=Stage.SKIPPED, reason="old"),
    "held": DriveState(stage=Stage.SKIPPED, reason="old", held=True),
    "failed": DriveState(stage=Stage.FAILED, reason="old", failures=3),
}
EVENTS: dict[str, Event] = {
    "appeared": Appeared(reason="new"),
    "asked": Appeared(reason="new", asked=True),
    "unfit": Ineligible(reason="new"),
    "satisfied": Satisfied(reason="new"),
    "wanted": SweepDue(request=OTHER_WANT),
    "postponed": Postponed(request=OTHER_WANT, seconds=900.0),
    "turn": Dispatched(),
    "finished": Finished(reason="new"),
    "failed": Failed(reason="new"),
    "deferred": Deferred(reason="new", seconds=300.0),
    "stopped": Stopped(reason="new"),
    "retry": Retry(),
    "removed": Removed(),
}

NEW = DriveState(stage=Stage.SETTLING, reason="new", failures=3)
AGAIN = DriveState(stage=Stage.SETTLING, reason="retrying after: old", failures=3)
QUEUED = DriveState(stage=Stage.QUEUED, reason="the check disagreed", request=OTHER_WANT, failures=3)
HELD = DriveState(stage=Stage.SKIPPED, reason="new", held=True)
FAILED = DriveState(stage=Stage.FAILED, reason="new", failures=4)
# 60 s, doubled for each of the three failures before.
LATER = RetryIn(seconds=480.0)

# (state, event) -> (state, effects). Whatever is not here changes nothing.
TABLE: dict[tuple[str, str], tuple[DriveState | None, tuple[Effect, ...]]] = {
    ("none", "appeared"): (replace(NEW, failures=0), (Settle(),)),
    ("none", "asked"): (replace(NEW, failures=0), (Settle(),)),
    ("settling", "appeared"): (NEW, (Settle(),)),
    ("settling", "asked"): (NEW, (Settle(),)),
    ("settling", "unfit"): (DriveState(stage=Stage.SKIPPED, reason="new"), ()),
    ("settling", "satisfied"): (DriveState(stage=Stage.PUBLISHED, reason="new"), ()),
    ("settling", "wanted"): (QUEUED, ()),
    ("settling", "failed"): (FAILED, (LATER,)),
    ("settling", "postponed"): (replace(QUEUED, resting=True), (RetryIn(seconds=900.0),)),
    ("settling", "stopped"): (HELD, ()),
    ("settling", "removed"): (None, (Withdraw(),)),
    ("queued", "appeared"): (NEW, (Settle(),)),
    ("queued", "asked"): (NEW, (Settle(),)),
    ("queued", "turn"): (STATES["sweeping"], (StartSweep(request=WANT),)),
    ("queued", "stopped"): (HELD, ()),
    ("queued", "removed"): (None, (Withdraw(),)),
    ("resting", "appeared"): (NEW, (Settle(),)),
    ("resting", "asked"): (NEW, (Settle(),)),
    ("resting", "stopped"): (HELD, ()),
    ("resting", "postponed"): (replace(QUEUED, resting=True), (RetryIn(seconds=900.0),)),
    ("resting", "retry"): (AGAIN, (Settle(),)),
    ("resting", "removed"): (None, (Withdraw(),)),
    ("sweeping", "appeared"): (NEW, (CancelSweep(), Settle())),
    ("sweeping", "asked"): (NEW, (CancelSweep(), Settle())),
    ("sweeping", "wanted"): (QUEUED, ()),
    ("sweeping", "finished"): (DriveState(stage=Stage.PUBLISHED, reason="new"), ()),
    ("sweeping", "failed"): (FAILED, (LATER,)),
    ("sweeping", "deferred"): (
        DriveState(stage=Stage.QUEUED, reason="new", request=WANT, failures=3, resting=True),
        (RetryIn(seconds=300.0),),
    ),
    ("sweeping", "stopped"): (HELD, (CancelSweep(),)),
    ("sweeping", "removed"): (None, (CancelSweep(), Withdraw())),
    ("published", "appeared"): (replace(NEW, failures=0), (Settle(),)),
    ("published", "asked"): (replace(NEW, failures=0), (Settle(),)),
    ("published", "stopped"): (HELD, ()),
    ("published", "removed"): (None, (Withdraw(),)),
    ("skipped", "appeared"): (replace(NEW, failures=0), (Settle(),)),
    ("skipped", "asked"): (replace(NEW, failures=0), (Settle(),)),
    ("skipped", "stopped"): (HELD, ()),
    ("skipped", "removed"): (None, (Withdraw(),)),
    ("held", "asked"): (replace(NEW, failures=0), (Settle(),)),
    ("held", "stopped"): (HELD, ()),
    ("held", "removed"): (None, (Withdraw(),)),
    ("failed", "appeared"): (NEW, (Settle(),)),
    ("failed", "asked"): (NEW, (Settle(),)),
    ("failed", "stopped"): (HELD, ()),
    ("failed", "retry"): (AGAIN, (Settle(),)),
    ("failed", "removed"): (None, (Withdraw(),)),
}


# --- every stage, every event ----------------------------------------------------------------------------


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", STATES)
def test_every_event_in_every_stage(name: str, event: str) -> None:
    state = STATES[name]
    found, effects = step(state, EVENTS[event], BACKOFF)
    if (name, event) in TABLE:
        assert (found, effects) == TABLE[name, event]
    else:
        # The very same object: the supervisor keeps its timer.
        assert found is state
        assert effects == ()


def test_the_states_cover_every_stage() -> None:
    assert {state.stage for state in STATES.values() if state} == set(Stage)


# --- what no sequence of events can do -------------------------------------------------------------------


@dataclass
class World:
    """Does what the effects say, as the supervisor does: whenever a state changes, all waiting for it ends."""

    state: DriveState | None = None
    waits: str = ""
    seconds: float = 0.0
    swept: bool = False
    published: bool = False

    def feed(self, event: Event) -> None:
        ended = isinstance(event, SweepDue | Finished | Failed | Deferred)
        if ended and self.state and self.state.stage is Stage.SWEEPING:
            self.swept = False
        state, effects = step(self.state, event, BACKOFF)
        if state is self.state:
            return
        if self.state is None:
            self.published = True  # a known profile is published at once
        self.state, self.waits = state, ""
        for effect in effects:
            match effect:
                case Settle():
                    self.waits = "look"
                case RetryIn(seconds=seconds):
                    self.waits, self.seconds = "retry", seconds
                case StartSweep():
                    assert not self.swept
                    self.swept = True
                case CancelSweep():
                    assert self.swept
                    self.swept = False
                case Withdraw():
                    self.published = False

    def way_out(self) -> Event | None:
        """What happens next if nothing comes from outside and all goes well; None: it is where it was to go."""
        if self.state is None or self.state.stage in (Stage.PUBLISHED, Stage.SKIPPED):
            return None
        if self.swept:
            return Finished(reason="swept")
        if self.waits == "look":
            return SweepDue(request=WANT)
        if self.waits == "retry":
            return Retry()
        assert first_in_line({"it": self.state}) == "it", f"lost: {self.state}"
        return Dispatched()


REASONS = st.sampled_from(["a", "b"])
WANTS = st.builds(
    SweepRequest,
    sweep=st.sampled_from(["check", "full"]),
    profiled=st.booleans(),
    mounted=st.booleans(),
    reason=REASONS,
)
ANY_EVENT: st.SearchStrategy[Event] = st.one_of(
    st.builds(Appeared, reason=REASONS, asked=st.booleans()),
    st.builds(Ineligible, reason=REASONS),
    st.builds(Satisfied, reason=REASONS),
    st.builds(SweepDue, request=WANTS),
    st.builds(Postponed, request=WANTS, seconds=st.floats(0, 1e6)),
    st.builds(Dispatched),
    st.builds(Finished, reason=REASONS),
    st.builds(Failed, reason=REASONS),
    st.builds(Deferred, reason=REASONS, seconds=st.floats(0, 1e6)),
    st.builds(Stopped, reason=REASONS),
    st.builds(Retry),
    st.builds(Removed),
)


@given(st.lists(ANY_EVENT, max_size=30))
def test_no_drive_is_lost_whatever_happens_to_it(events: list[Event]) -> None:
    world = World()
    for event in events:
        world.feed(event)
        assert world.swept == (world.state is not None and world.state.stage is Stage.SWEEPING)
        assert world.published == (world.state is not None)
        if world.state is None or world.state.stage in (Stage.PUBLISHED, Stage.SKIPPED):
            assert world.waits == ""
        if world.state:
            assert world.state.reason
            assert (world.state.request is not None) == (world.state.stage in (Stage.QUEUED, Stage.SWEEPING))
            assert world.state.stage is Stage.QUEUED or not world.state.resting
            assert world.state.stage is Stage.SKIPPED or not world.state.held
    # Left to itself it is published, or skipped for good, after a few steps.
    for _ in range(5):
        if (event_ := world.way_out()) is None:
            break
        world.feed(event_)
    assert world.way_out() is None


@given(st.lists(ANY_EVENT, max_size=20), st.lists(ANY_EVENT, max_size=20))
def test_what_the_operator_has_stopped_only_he_or_unplugging_starts(before: list[Event], after: list[Event]) -> None:
    world = World()
    for event in (Appeared(reason="there"), *before, Appeared(reason="there"), Stopped(reason="stopped")):
        world.feed(event)
    for event in after:
        let_go = isinstance(event, Removed) or (isinstance(event, Appeared) and event.asked)
        world.feed(event)
        assert (world.state is not None and world.state.held) != let_go
        if let_go:
            break
        assert not world.swept


@given(st.lists(ANY_EVENT, max_size=20))
def test_unplugging_always_ends_with_the_withdrawal(events: list[Event]) -> None:
    world = World()
    for event in (*events, Appeared(reason="there")):
        world.feed(event)
    found, effects = step(world.state, Removed(), BACKOFF)
    assert found is None
    assert effects[-1] == Withdraw()
    assert (CancelSweep() in effects) == world.swept


def test_a_result_that_comes_after_the_sweep_was_cancelled_changes_nothing() -> None:
    for gone in (Appeared(reason="mounted"), Stopped(reason="stopped"), Removed()):
        cancelled, effects = step(STATES["sweeping"], gone, BACKOFF)
        assert effects[0] == CancelSweep()
        for late in (Finished(reason="late"), Deferred(reason="late", seconds=1.0), Dispatched()):
            assert step(cancelled, late, BACKOFF) == (cancelled, ())


# --- waiting ---------------------------------------------------------------------------------------------


def test_failures_in_a_row_are_waited_out_ever_longer() -> None:
    world = World()
    world.feed(Appeared(reason="there"))
    waited = []
    for _ in range(9):
        world.feed(Failed(reason="no answer"))
        waited.append(world.seconds)
        world.feed(Retry())
    assert waited == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]


def test_a_sweep_that_ends_well_forgets_the_failures() -> None:
    world = World()
    for event in (Appeared(reason="there"), Failed(reason="x"), Retry(), SweepDue(request=WANT), Dispatched()):
        world.feed(event)
    assert world.state == DriveState(stage=Stage.SWEEPING, reason=WANT.reason, request=WANT, failures=1)
    world.feed(Finished(reason="swept"))
    world.feed(Appeared(reason="changed"))
    world.feed(Failed(reason="x"))
    assert world.seconds == 60.0


@given(st.floats(1, 1e5), st.floats(1, 1e6), st.integers(1, 10**9))
def test_a_wait_is_never_longer_than_the_longest(first_s: float, max_s: float, failures: int) -> None:
    backoff = Backoff(first_s=first_s, max_s=max_s)
    assert min(first_s, max_s) <= backoff.after(failures) <= backoff.after(failures + 1) <= max_s


# --- whose turn ------------------------------------------------------------------------------------------


def queued(*, profiled: bool = False, mounted: bool = False, resting: bool = False) -> DriveState:
    want = SweepRequest(sweep="full", profiled=profiled, mounted=mounted, reason="due")
    return DriveState(stage=Stage.QUEUED, reason="due", request=want, resting=resting)


def test_the_order_of_the_queue() -> None:
    states = {
        "stale raw": queued(profiled=True),
        "stale mounted": queued(profiled=True, mounted=True),
        "new raw": queued(),
        "new mounted": queued(mounted=True),
        "new mounted too": queued(mounted=True),
        "gave way": queued(mounted=True, resting=True),
        **{name: state for name, state in STATES.items() if state and state.stage is not Stage.QUEUED},
    }
    order = []
    while key := first_in_line(states):
        order.append(key)
        del states[key]
    assert order == ["new mounted", "new mounted too", "new raw", "stale mounted", "stale raw"]
    assert first_in_line({}) is None


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans())))
def test_first_in_line_is_the_first_of_the_best(found: list[tuple[bool, bool, bool]]) -> None:
    states = {
        str(place): queued(profiled=profiled, mounted=mounted, resting=resting)
        for place, (profiled, mounted, resting) in enumerate(found)
    }
    ranks = [(profiled, not mounted) for profiled, mounted, resting in found if not resting]
    first = first_in_line(states)
    if not ranks:
        assert first is None
        return
    assert first is not None
    assert first == next(
        str(place)
        for place, (profiled, mounted, resting) in enumerate(found)
        if not resting and (profiled, not mounted) == min(ranks)
    )


def test_only_queued_drives_are_dispatched() -> None:
    for state in STATES.values():
        if state:
            found, _ = step(state, Dispatched(), BACKOFF)
            assert (found is not state) == (first_in_line({"it": state}) == "it")
