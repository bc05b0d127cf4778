"""What slow spells of the drive took from measurements of a curve by request size.

In a spell, such as garbage collection or a neighbour's, all that uses the drive is slower for up to seconds, and the
measurements of a curve that follow each other are in it together. They are blocks: the points that were measured in
several blocks show how slow each block was, as in a two-way analysis of variance, and the faster blocks are the drive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]

# Measurements within this time are a block.
_BLOCK_S = 0.3
# A block is in a spell if it is this much slower than the others (as search/spells.py has it), and by `_ERRORS` errors.
_SPELL, _ERRORS = 0.04, 3.0
# What is known of the slowness of a block before: its spread.
_SPREAD = 0.1
# The fast blocks are at least this share of the measurements.
_FAST_SHARE = 0.25
_FREEDOM, _ROUNDS = 4.0, 4
_MIN_NOISE = 0.005


def blocks(at_s: Floats) -> Places:
    """Return the block of each measurement by the time when it ended, in any order."""
    found, first_s, block = np.zeros(len(at_s), np.intp), -np.inf, -1
    for place in np.argsort(at_s, kind="stable"):
        if at_s[place] - first_s > _BLOCK_S:
            first_s, block = at_s[place], block + 1
        found[place] = block
    return found


def lost(point: Places, block: Places, log_rate: Floats, strain: Floats) -> Floats:
    """Return the logarithm of what a spell took from each measurement, which is 0 or below.

    `strain` is the share of the drive in use: what waits for latencies loses little.
    """
    several = np.bincount(point, minlength=1)[point] > 1
    if not several.any():
        return np.zeros(len(log_rate))
    count = int(block.max()) + 1
    effects = np.zeros((len(log_rate), count))
    effects[np.arange(len(log_rate)), block] = strain
    weight = np.ones(len(log_rate))
    found: Floats = np.zeros(count)
    error: Floats = np.full(count, _SPREAD)
    noise = _SPELL
    for _ in range(_ROUNDS):
        total = np.maximum(np.bincount(point, weight), 1e-12)
        middle = _within(effects, point, weight, total)
        away = _within(log_rate[:, None], point, weight, total)[:, 0]
        left = (middle.T * weight) @ middle / noise**2 + np.eye(count) / _SPREAD**2
        covariance = np.linalg.inv(left)
        found = covariance @ (middle.T @ (weight * away)) / noise**2
        # It includes what all blocks may have in common, so that few blocks of noisy measurements are no spells. With
        # the error of their differences alone 3 % fewer sizes of noisy volumes were right.
        error = np.sqrt(np.diag(covariance))
        rest = away - middle @ found
        noise = max(_MIN_NOISE, 1.4826 * float(np.median(np.abs(rest[several]))) * np.sqrt(2))
        weight = (_FREEDOM + 1) / (_FREEDOM + (rest / noise) ** 2)
    sizes = np.bincount(block, minlength=count)
    order = np.argsort(-found)
    fast = found[order][int(np.searchsorted(np.cumsum(sizes[order]), _FAST_SHARE * sizes.sum()))]
    slow = np.zeros(count, np.bool_)
    for _ in range(_ROUNDS):
        slow = found < fast - np.maximum(_SPELL, _ERRORS * error)
        fast = float(np.average(found[~slow], weights=sizes[~slow]))
    taken: Floats = np.where(slow, found - fast, 0.0)[block] * strain
    return taken


def _within(values: Floats, point: Places, weight: Floats, total: Floats) -> Floats:
    """Return the values less the weighted mean of their point."""
    means = np.stack([np.bincount(point, weight * column) / total for column in values.T], axis=1)
    found: Floats = values - means[point]
    return found
