"""The check of a sibling's setting, which compares it on this drive with the best settings of other classes.

Drives of one model and firmware differ in their slot, their processor and their fill. These change which class wins: a
class is a number of threads and a block size. So the sibling's setting and the best of three other classes are measured
in rounds of random order. A challenger wins only if it gains on the sibling's setting, relative to their ratio on the
sibling: more than 2.5 % by the median of 6 rounds, and again by the median of 24.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search.step import OTHER_PROCESSES, PhaseEnd, Round, exhausted, next_id, round_of, spent
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
# Other processes may spoil rounds, so the number of attempts is limited.
_MAX_TRIES = 2 * MAX_ROUNDS


def _rounds(phase: Phase, samples: Sequence[Sample]) -> dict[Setting, list[float]]:
    """Return the log throughputs of the clean measurements of each point, oldest first, by the point's setting."""
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

    `shares` holds each challenger's throughput on the sibling, divided by that of the chosen setting. Return the chosen
    setting with a gain of 0 if no challenger gains.
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
    """Return the next round of all points, or the end of the check, settled if no challenger gains."""
    rates = _rounds(phase, samples)
    rounds = min((len(found) for found in rates.values()), default=0)
    tried = sum(is_counted(sample, phase) for sample in samples) // max(len(phase.points), 1)
    challenger, gained = gain(phase, samples, chosen, shares)
    if rounds >= FEW_ROUNDS and gained <= MIN_GAIN:
        return PhaseEnd(reason="no other class of settings is faster", settled=True)
    if rounds >= MAX_ROUNDS:
        count, blocks = challenger.io_parallelism, f"{challenger.block_size >> 10} KiB blocks"
        faster = f"1 thread with {blocks} is" if count == 1 else f"{count} threads with {blocks} are"
        return PhaseEnd(reason=f"{faster} {100 * gained:.1f} % faster")
    if reason := exhausted(phase, spent(phase, samples)):
        return PhaseEnd(reason=reason)
    if tried >= _MAX_TRIES:
        return PhaseEnd(reason=f"{OTHER_PROCESSES} in too many rounds")
    order = list(phase.points)
    random.Random(f"{phase.seed}/{phase.direction}/{next_id(samples)}").shuffle(order)  # noqa: S311 - no secret
    return round_of(phase, samples, order, reference=False)
