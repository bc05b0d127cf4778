"""Phases of a search, run to their end on a drive that answers at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.search.race import RaceRules
from aio_tuned.search.step import PhaseEnd, Round, cut, exhausted, spent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aio_tuned.model.measurement import Phase, Request, Sample
    from aio_tuned.model.setting import Setting

    Ask = Callable[[Sequence[Sample]], Round | PhaseEnd]


class Answering(Protocol):
    """A drive that answers requests."""

    def answer(self, asked: Request) -> Sample: ...


class Run:
    """A completed phase: its samples without the earlier ones, its rounds, and its end."""

    def __init__(
        self, made: Phase, ask: Ask, model: Answering, before: Sequence[Sample] = (), most: int = 100_000
    ) -> None:
        """Ask and measure until the end, as sweep/run.py does; fail after `most` measurements."""
        self.samples = list(before)
        self.rounds: list[tuple[Request, ...]] = []
        cost = spent(made, self.samples)
        while isinstance(step := ask(self.samples), Round):
            self.rounds.append(step.requests)
            assert step.requests
            for request in step.requests:
                self.samples.append(model.answer(cut(made, cost, request)))
                cost = cost.plus(made, self.samples[-1])
                assert len(self.samples) < most
                if exhausted(made, cost):
                    break
        self.end = step

    @property
    def settings(self) -> list[Setting]:
        """The settings that were measured, in that order."""
        return [sample.request.setting for sample in self.samples]


def rules(**changes: Any) -> RaceRules:  # noqa: ANN401 - any field
    """Return rules without a usual budget below the phase's own."""
    return replace(RaceRules(usual_ns=10**15, usual_bytes=10**15), **changes)


def requests_of(step: Round | PhaseEnd) -> tuple[Request, ...]:
    assert isinstance(step, Round)
    return step.requests


def beside_the_reference(asked: Sequence[Request]) -> list[Setting]:
    """Return the settings other than the default that a round asks for."""
    return [request.setting for request in asked if request.setting != DEFAULT_SETTING]
