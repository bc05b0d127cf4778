"""The result of a finished sweep for one direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.errors import MeasurementError
from aio_tuned.search import choose, estimate
from aio_tuned.search.posterior import Posterior, posterior

if TYPE_CHECKING:
    from aio_tuned.model.curve import Choice, Curve
    from aio_tuned.model.measurement import Sample
    from aio_tuned.sweep.order import PhaseOutcome, SweepOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The result of one direction: its samples, the curve and posterior of the deciding phase, and the choice.

    `screen` is the curve of the first pass, or the deciding curve if there was no pass.
    """

    phase: PhaseOutcome
    samples: tuple[Sample, ...]
    screen: Curve
    curve: Curve
    known: Posterior
    choice: Choice


def decide(outcome: SweepOutcome, phase: PhaseOutcome, tolerance: float) -> Decided:
    """Return the result of one direction; raise MeasurementError if no point could be measured."""
    plan, samples = phase.phase, outcome.samples
    curve = estimate.curve(plan, samples)
    screen = curve if phase.first_pass in (None, plan) else estimate.curve(phase.first_pass, samples)
    known = posterior(plan, curve, phase.preferred)
    if known is None:
        raise MeasurementError(f"{plan.direction}: no setting could be measured; try again when the drive is idle")
    return Decided(
        phase=phase,
        samples=tuple(sample for sample in samples if sample.request.direction == plan.direction),
        screen=screen,
        curve=curve,
        known=known,
        choice=choose.choose(known, tolerance, phase.preferred, phase.keep),
    )
