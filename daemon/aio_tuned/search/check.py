"""The check of another drive's choice: whether its setting wins here too, against the best of the other classes.

Drives of one model and firmware differ in their slot, their processor and their fill, and what changes then is the
class that wins: the number of threads and the block size. So the chosen setting and the best of three other classes are
measured in rounds of random order. A challenger is believed only if it gains on the chosen setting against what was
measured on the other drive: more than 2.5 % by the median of six rounds, and still by that of 24.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search.step import PhaseEnd, Round, exhausted, next_id, round_of, spent
from aio_tuned.search.taint import is_counted, taint_reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aio_tuned.model.measurement import Phase, Sample
    from aio_tuned.model.setting import Setting

FEW_ROUNDS = 6
MORE_ROUNDS = 18
MAX_ROUNDS = FEW_ROUNDS + MORE_ROUNDS
# The least gain of a challenger, as a share.
MIN_GAIN = 0.025
# A round may lose points to others' I/O; this is the most that are tried.
_MAX_TRIES = 2 * MAX_ROUNDS


def _rounds(phase: Phase, samples: Sequence[Sample]) -> dict[Setting, list[float]]:
    """Return the log throughputs of each point's clean measurements, in their order, by the point's setting."""
    places = {setting: point.setting for point in phase.points for setting in point.aliases}
    found: dict[Setting, list[float]] = {point.setting: [] for point in phase.points}
    for sample in samples:
        own = places.get(sample.request.setting)
        if own is not None and is_counted(sample, phase) and not taint_reason(sample):
            found[own].append(math.log(sample.bytes_per_s))
    return found


def gain(
    phase: Phase, samples: Sequence[Sample], chosen: Setting, shares: Mapping[Setting, float]
) -> tuple[Setting, float]:
    """Return the challenger that gains most on the chosen setting, and its gain as a share.

    `shares` are the challengers' throughputs over the chosen setting's on the other drive. Without one it is the chosen
    setting, which gains nothing.
    """
    places = {setting: point for point in phase.points for setting in point.aliases}
    rates = _rounds(phase, samples)
    found = (chosen, 0.0)
    for setting, share in shares.items():
        if setting not in places or chosen not in places or places[setting] == places[chosen]:
            continue
        theirs, ours = rates[places[setting].setting], rates[places[chosen].setting]
        rounds = min(len(theirs), len(ours))
        if not rounds:
            continue
        gained = float(np.median(np.subtract(theirs[:rounds], ours[:rounds]))) - math.log(share)
        found = max(found, (setting, math.expm1(gained)), key=lambda each: each[1])
    return found


def next_round(
    phase: Phase, samples: Sequence[Sample], chosen: Setting, shares: Mapping[Setting, float]
) -> Round | PhaseEnd:
    """Return the next round of all points, or the end: settled if no challenger gains."""
    rates = _rounds(phase, samples)
    rounds = min((len(found) for found in rates.values()), default=0)
    tried = sum(is_counted(sample, phase) for sample in samples) // max(len(phase.points), 1)
    challenger, gained = gain(phase, samples, chosen, shares)
    if rounds >= FEW_ROUNDS and gained <= MIN_GAIN:
        return PhaseEnd(reason="no other class gains on it", settled=True)
    if rounds >= MAX_ROUNDS:
        how = f"{challenger.io_parallelism} threads of {challenger.block_size >> 10} KiB"
        return PhaseEnd(reason=f"{how} gain {gained:.1%} on it")
    if reason := exhausted(phase, spent(phase, samples)):
        return PhaseEnd(reason=f"the {reason} is spent")
    if tried >= _MAX_TRIES:
        return PhaseEnd(reason="others used the drive in too many rounds")
    order = list(phase.points)
    random.Random(f"{phase.seed}/{phase.direction}/{next_id(samples)}").shuffle(order)  # noqa: S311 - no secret
    return round_of(phase, samples, order, reference=False)
