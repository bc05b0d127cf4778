"""What huge pages would add to the throughput of the chosen setting, in pairs with the memory of a consumer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search.estimate import student_t
from aio_tuned.search.step import next_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.search.extra import Extra

# The least number of pairs, and the most.
_MIN_PAIRS, _MAX_PAIRS = 4, 24
# The pairs end when the ratio is known within this share, with 95 % confidence.
_WIDTH = 0.02
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What huge pages add, as a share, with a 95 % interval."""

    gain: float
    low: float
    high: float


def _logs(extra: Extra, samples: Sequence[Sample]) -> list[float]:
    """Return the logarithm of the ratio of each pair of neighbours, oldest first."""
    huge: list[float] = []
    usual: list[float] = []
    for sample in extra.clean(samples):
        (huge if sample.request.memory == "huge" else usual).append(math.log(sample.bytes_per_s))
    return [one - other for one, other in zip(huge, usual, strict=False)]


def _interval(logs: Sequence[float]) -> tuple[float, float]:
    """Return the mean of the logarithms, and half of its interval."""
    if len(logs) < 2:  # noqa: PLR2004 - a deviation needs two
        return (logs[0] if logs else 0.0), math.inf
    deviation = float(np.std(logs, ddof=1))
    return float(np.mean(logs)), student_t(_CONFIDENCE, len(logs) - 1) * deviation / math.sqrt(len(logs))


def next_pair(extra: Extra, samples: Sequence[Sample]) -> tuple[Request, ...]:
    """Return the next pair of measurements; () if the gain is known well enough, or the budget is spent."""
    logs = _logs(extra, samples)
    transfer = extra.transfer((extra.setting,))
    tried = len(extra.own(samples)) // 2
    if tried >= _MAX_PAIRS or not extra.affords(samples, 2, transfer):
        return ()
    if len(logs) >= _MIN_PAIRS and _interval(logs)[1] <= _WIDTH:
        return ()
    first = next_id(samples)
    usual = extra.request(first, extra.setting, transfer)
    pair = (usual, replace(usual, id=first + 1, memory="huge"))
    # The order alternates, so that a drift favours neither.
    return pair if tried % 2 == 0 else (replace(pair[1], id=first), replace(pair[0], id=first + 1))


def gain(extra: Extra, samples: Sequence[Sample]) -> Gain | None:
    """Return what huge pages add; None with fewer than four pairs."""
    logs = _logs(extra, samples)
    if len(logs) < _MIN_PAIRS:
        return None
    middle, half = _interval(logs)
    return Gain(gain=math.expm1(middle), low=math.expm1(middle - half), high=math.expm1(middle + half))
