"""The chosen write setting in a new file, which each write extends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.search.step import next_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.search.extra import Extra

_MEASUREMENTS = 4


def next_round(extra: Extra, samples: Sequence[Sample]) -> tuple[Request, ...]:
    """Return the next measurement; () if there are enough, or the budget is spent."""
    transfer = extra.transfer((extra.setting,))
    own = extra.own(samples)
    enough = len(extra.clean(samples)) >= _MEASUREMENTS or len(own) >= 2 * _MEASUREMENTS
    if enough or not extra.affords(samples, 1, transfer):
        return ()
    return (replace(extra.request(next_id(samples), extra.setting, transfer), new_file=True),)


def bytes_per_s(samples: Sequence[Sample]) -> float | None:
    """Return the throughput of the writes to new files; None if there were none."""
    total, ns = sum(sample.bytes for sample in samples), sum(sample.elapsed_ns for sample in samples)
    return total * 1e9 / ns if ns else None
