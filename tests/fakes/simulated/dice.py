"""Seeded chance, drawn in bulk: a number costs a tenth of what a call of numpy for one costs."""

from __future__ import annotations

import math
import zlib

import numpy as np

_DRAWN = 1024


class Dice:
    """Independent streams of normal and uniform numbers for one seed and name."""

    def __init__(self, seed: int, name: str) -> None:
        self._generator = np.random.default_rng((seed, zlib.crc32(name.encode())))
        self._normals: list[float] = []
        self._uniforms: list[float] = []

    def normal(self) -> float:
        if not self._normals:
            self._normals = self._generator.standard_normal(_DRAWN).tolist()
        return self._normals.pop()

    def uniform(self) -> float:
        """From 0 to 1, without 0."""
        if not self._uniforms:
            self._uniforms = (1 - self._generator.random(_DRAWN)).tolist()
        return self._uniforms.pop()

    def exponential(self, mean: float) -> float:
        return -mean * math.log(self.uniform())

    def pareto(self, index: float) -> float:
        """From 0, with a tail that falls with that index."""
        return float(self.uniform() ** (-1 / index)) - 1
