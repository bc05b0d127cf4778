"""The check of a sibling's setting, which compares it on this drive with the best settings of other classes.

Drives of one model and firmware differ in their slot, their processor and their fill. These change which class wins: a
class is a number of threads and a block size. So the sibling's setting and the best of three other classes are measured
in rounds of random order. A challenger wins only if it gains on the sibling's setting, relative to their ratio on the
sibling: more than 2.5 % by the median of 6 rounds, and by the median of 24 rounds less its standard error. Where 6
rounds are too noisy to show a gain of 5 %, more are measured.

Over 61 simulated drives and two seeds each, where a gain alone decided after 6 or 24 rounds, 4 % of the writes were
refused for noise, and 1.6 % of the reads confirmed although their class was 5 % slower.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
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
# The check ends early only if a gain of this share would have shown, two standard errors above the measured gain.
VISIBLE_GAIN = 0.05
# The standard error of the median of normal values, by their median absolute deviation and the root of their number.
_ERROR_OF_MEDIAN = 1.4826 * math.sqrt(math.pi / 2)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The gain of a challenger on the chosen setting, and its standard error, as shares."""

    setting: Setting
    gain: float
    error: float


def gains(phase: Phase, samples: Sequence[Sample], chosen: Setting, shares: Mapping[Setting, float]) -> list[Gain]:
    """Return the gain of each challenger that has a measurement beside the chosen setting's.

    `shares` holds each challenger's throughput on the sibling, divided by that of the chosen setting. A challenger that
    does the chosen setting's I/O in transfers of this size has no gain.
    """
    places = {setting: point for point in phase.points for setting in point.aliases}
    rates = _rounds(phase, samples)
    found = []
    for setting, share in shares.items():
        if setting not in places or chosen not in places or places[setting] == places[chosen]:
            continue
        theirs, ours = rates[places[setting].setting], rates[places[chosen].setting]
        if rounds := min(len(theirs), len(ours)):
            ratios = np.subtract(theirs[:rounds], ours[:rounds])
            middle = np.median(ratios)
            error = _ERROR_OF_MEDIAN * float(np.median(np.abs(ratios - middle))) / math.sqrt(rounds)
            found.append(Gain(setting=setting, gain=math.expm1(float(middle) - math.log(share)), error=error))
    return found


def _defeat(by: Gain) -> str:
    count, blocks = by.setting.io_parallelism, f"{by.setting.block_size >> 10} KiB blocks"
    faster = f"1 thread with {blocks} is" if count == 1 else f"{count} threads with {blocks} are"
    return f"{faster} {100 * by.gain:.1f} % faster"


def next_round(
    phase: Phase, samples: Sequence[Sample], chosen: Setting, shares: Mapping[Setting, float]
) -> Round | PhaseEnd:
    """Return the next round of all points, or the end of the check, settled if no challenger gains."""
    rates = _rounds(phase, samples)
    rounds = min((len(found) for found in rates.values()), default=0)
    tried = sum(is_counted(sample, phase) for sample in samples) // max(len(phase.points), 1)
    found = gains(phase, samples, chosen, shares)
    limit = exhausted(phase, spent(phase, samples))
    last = rounds >= MAX_ROUNDS or bool(limit)
    if rounds >= FEW_ROUNDS:
        faster = [each for each in found if each.gain - last * each.error > MIN_GAIN]
        unclear = not last and any(each.gain + 2 * each.error > VISIBLE_GAIN for each in found)
        if not faster and not unclear:
            return PhaseEnd(reason="no other block size or thread count is faster", settled=True)
        if rounds >= MAX_ROUNDS:
            return PhaseEnd(reason=_defeat(max(faster, key=lambda each: each.gain)))
    if limit:
        return PhaseEnd(reason=limit)
    if tried >= _MAX_TRIES:
        return PhaseEnd(reason=f"{OTHER_PROCESSES} in too many rounds")
    order = list(phase.points)
    random.Random(f"{phase.seed}/{phase.direction}/{next_id(samples)}").shuffle(order)  # noqa: S311 - no secret
    return round_of(phase, samples, order, reference=False)
