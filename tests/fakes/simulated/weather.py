"""Disturbances of a drive over time: heat, spells, stalls and a cliff."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fakes.simulated.dice import Dice
    from fakes.simulated.model import Cliff, Drift, Stalls


class Spells:
    """Spells of exponential length with exponential pauses; calls must be in the order of time."""

    def __init__(self, dice: Dice, length_s: float, pause_s: float) -> None:
        self._dice, self._length_s, self._pause_s = dice, length_s, pause_s
        self._on = length_s > 0 and dice.uniform() < length_s / (length_s + pause_s)
        self._until_s = math.inf
        if length_s > 0:
            self._until_s = dice.exponential(length_s if self._on else pause_s)

    def share(self, start_s: float, end_s: float) -> float:
        """Return the share of the time from start to end that is in spells; earlier spells are discarded."""
        inside, at = 0.0, start_s
        while self._until_s < end_s:
            if self._on and self._until_s > at:
                inside += self._until_s - at
            at = max(at, self._until_s)
            self._on = not self._on
            self._until_s += self._dice.exponential(self._length_s if self._on else self._pause_s)
        if self._on:
            inside += end_s - at
        return inside / (end_s - start_s)


class Periodic:
    """Spells of one length at one distance, which begin at a random moment; calls must be in the order of time."""

    def __init__(self, dice: Dice, length_s: float, pause_s: float) -> None:
        self._length_s, self._period_s = length_s, length_s + pause_s
        self._begin_s = -dice.uniform() * self._period_s

    def _until(self, now_s: float) -> float:
        """Return the seconds in spells until then."""
        whole, rest = divmod(now_s - self._begin_s, self._period_s)
        return whole * self._length_s + min(rest, self._length_s)

    def share(self, start_s: float, end_s: float) -> float:
        """Return the share of the time from start to end that is in spells."""
        return (self._until(end_s) - self._until(start_s)) / (end_s - start_s)


class Climate:
    """The slow changes of a drive's speed by heat and neighbours."""

    def __init__(self, dice: Dice, drift: Drift) -> None:
        self._drift = drift
        self._phase = dice.uniform() * 2 * math.pi
        self.heat = 0.0

    def pass_time(self, seconds: float, *, busy: bool) -> None:
        if self._drift.heat_loss:
            left = math.exp(-seconds / self._drift.heat_s)
            self.heat = self.heat * left + (1 - left if busy else 0.0)

    def factor(self, now_s: float) -> float:
        """Return the factor on the throughput of a setting that uses the whole drive; 1 is a cool drive alone."""
        found = 1 - self._drift.heat_loss * self.heat
        if self._drift.swing:
            found *= 1 + self._drift.swing * (math.sin(2 * math.pi * now_s / self._drift.swing_s + self._phase) - 1)
        return found


class Stalling:
    """The stalls of a drive, at random moments."""

    def __init__(self, dice: Dice, stalls: Stalls) -> None:
        self._dice, self._stalls = dice, stalls
        self._next_s = dice.exponential(stalls.every_s) if stalls.every_s else math.inf

    def lost_s(self, start_s: float, end_s: float) -> float:
        """Return the seconds lost to stalls that begin between start and end."""
        lost = 0.0
        while self._next_s < end_s:
            if self._next_s >= start_s:
                lost += self._stalls.length_s * (0.5 + self._dice.uniform())
            self._next_s += self._dice.exponential(self._stalls.every_s)
        return lost


class Store:
    """The fast store before a cliff, with the bytes that are in it."""

    def __init__(self, cliff: Cliff) -> None:
        self._cliff = cliff
        self.used_bytes = 0.0

    @property
    def full(self) -> bool:
        return self.used_bytes >= self._cliff.bytes

    def take(self, count: int) -> float:
        """Store that many bytes, and return the share of them for which there was room."""
        room = max(0.0, self._cliff.bytes - self.used_bytes)
        self.used_bytes = min(self.used_bytes + count, float(self._cliff.bytes))
        return min(1.0, room / count)

    def rest(self, seconds: float) -> None:
        self.used_bytes = max(0.0, self.used_bytes - self._cliff.recovery_bytes_per_s * seconds)
