"""Slow spells, which last for seconds, as seen in the measurements of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aio_tuned.search import estimate
from aio_tuned.search.taint import is_counted, taint_reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Phase, Sample

# In a spell at least two successive measurements of the reference, a fifth of a second apart, deviate by this share.
_SPELL = 0.04
# They also deviate by this many times the median deviation, so noise is no spell.
_DEVIATIONS = 6.0
_FEWEST = 6


def has_spells(phase: Phase, samples: Sequence[Sample]) -> bool:
    """Return whether successive measurements of the reference lie far from its median on the same side."""
    places, reference = estimate.places(phase)
    rates = np.log(
        [
            sample.bytes_per_s
            for sample in samples
            if is_counted(sample, phase)
            and not taint_reason(sample)
            and places.get(sample.request.setting) == reference
        ]
    )
    if len(rates) < _FEWEST:
        return False
    away = rates - np.median(rates)
    limit = max(_SPELL, _DEVIATIONS * float(np.median(np.abs(away))))
    off = np.where(np.abs(away) > limit, np.sign(away), 0)
    return bool(((off[1:] == off[:-1]) & (off[1:] != 0)).any())
