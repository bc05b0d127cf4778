"""Pauses after failures: each is twice as long as the one before, up to a limit, and no two programs pause alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Beyond this number, doubling does not matter.
_MOST_DOUBLINGS = 16


class Backoff:
    """When a call that failed is due again; `since_s` is the Unix time of the first of the failures."""

    def __init__(self, first_s: float, longest_s: float, draw: Callable[[float, float], float]) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._draw = draw
        self._failures = 0
        self._due_s = 0.0
        self.since_s = 0.0

    @property
    def fails(self) -> bool:
        """Whether the last call failed."""
        return self._failures > 0

    def is_due(self, now_s: float) -> bool:
        """Return whether the call is to be made now; it is if the clock was set back, too."""
        return not 0 < self._due_s - now_s <= self._longest_s

    def fail(self, now_s: float, pause_s: float | None = None) -> None:
        """Pause, for a time that is drawn, or for the given one."""
        if not self.fails:
            self.since_s = now_s
        most_s = min(self._first_s * 2**self._failures, self._longest_s)
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        self._due_s = now_s + (self._draw(most_s / 2, most_s) if pause_s is None else pause_s)

    def succeed(self) -> None:
        """Begin with short pauses again."""
        self._failures, self._due_s = 0, 0.0
