"""Gaussian-process regression of throughputs over the grid.

Throughput changes smoothly with the logarithms of block size, depth and threads, so a point's neighbours carry
information about it (Rasmussen & Williams 2006, chapter 2). The smoothness of the surface, and how far single points
deviate from it, are those that make the measured points most likely (chapter 5): where neighbours carry no information,
none is used. The result decides where to measure next and what to choose; it is never published as measured.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aio_tuned.model.setting import Setting

    Floats = NDArray[np.float64]

# Length scales to try: doublings of a size or a count, a switch of overlap_events, of single_submit.
_REACHES = ((1.5, 1.0, 1.0), (3.0, 2.0, 2.0), (3.0, 2.0, 8.0))
# Standard deviations to try for a point's own deviation from the surface, as logarithms.
_OWN = (0.0003, 0.001, 0.003, 0.01, 0.03)
_MIN_SWING = 0.001
_FEWEST = 6
# A point further than this from the others' prediction, in standard deviations, is an outlier.
_ODD = 3.0


def _places(settings: Sequence[Setting]) -> Floats:
    return np.array(
        [
            (
                math.log2(setting.block_size),
                math.log2(setting.queue_depth),
                math.log2(setting.io_parallelism),
                setting.overlap_events,
                setting.single_submit,
            )
            for setting in settings
        ],
        dtype=np.float64,
    )


def _likeness(places: Floats, reach: tuple[float, float, float]) -> Floats:
    sizes, overlap, single = reach
    scaled = places / np.array([sizes, sizes, sizes, overlap, single])
    apart: Floats = ((scaled[:, None, :] - scaled[None, :, :]) ** 2).sum(-1)
    return np.exp(-0.5 * apart)


def _weights(whole: Floats, values: Floats) -> tuple[float, float, Floats]:
    """Return minus the log likelihood, the mean by generalised least squares, and the weights of the prediction."""
    half = np.log(np.diag(np.linalg.cholesky(whole))).sum()
    solved = np.linalg.solve(whole, np.column_stack((values, np.ones(len(values)))))
    mean = float(solved[:, 0].sum() / solved[:, 1].sum())
    weights = solved[:, 0] - mean * solved[:, 1]
    return float(0.5 * (values - mean) @ weights + half), mean, weights


def smooth(
    settings: Sequence[Setting], values: Floats, errors: Floats, odd: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return log values and their standard errors, estimated from the points and their neighbours together.

    Points that are `odd` by suspicion (measured once or twice) lose their weight if their neighbours contradict them.
    """
    if len(values) < _FEWEST:
        return values, errors
    variances = errors**2
    swing = math.sqrt(max(float(values.var() - np.median(variances)), _MIN_SWING**2))
    places = _places(settings)
    priors = (
        swing**2 * shared + own**2 * np.eye(len(values))
        for shared in (_likeness(places, reach) for reach in _REACHES)
        for own in _OWN
    )
    tries = ((*_weights(prior + np.diag(variances), values), prior) for prior in priors)
    _, mean, weights, prior = min(tries, key=lambda each: each[0])
    inverse = np.linalg.inv(prior + np.diag(variances))
    # The prediction for each point from all others: Rasmussen & Williams, equations 5.10 to 5.12.
    apart = weights / np.diag(inverse)
    contradicted = odd & (np.abs(apart) > _ODD / np.sqrt(np.diag(inverse)))
    if contradicted.any():
        variances = np.where(contradicted, variances + apart**2, variances)
        _, mean, weights = _weights(prior + np.diag(variances), values)
        inverse = np.linalg.inv(prior + np.diag(variances))
    gain = prior @ inverse
    left = np.maximum(np.diag(prior) - np.einsum("ij,ji->i", gain, prior), 1e-14)
    smoothed: Floats = mean + prior @ weights
    return smoothed, np.sqrt(left)
