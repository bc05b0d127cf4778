"""A sweep that waits for other processes, deferred again and again because the drive is never quiet."""

from __future__ import annotations

from dataclasses import dataclass, replace

# From when on an operator is told of it, where [throttle] patience is "never".
_TOLD_AFTER_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyWait:
    """Since when the sweep has been deferred for others, in seconds of a monotonic clock, and what they did last."""

    since_s: float
    traffic: str

    def never_quiet(self, patience_s: float | None, now_s: float) -> str:
        """Return what others do and for how long, once the wait exceeds the patience, or a day without one; else ""."""
        waited_s = now_s - self.since_s
        if waited_s < (_TOLD_AFTER_S if patience_s is None else patience_s):
            return ""
        return f"never quiet for {waited_s / 3600:.0f} h: {self.traffic}"

    def is_over(self, patience_s: float | None, now_s: float) -> bool:
        """Return whether a sweep may run beside the others now."""
        return patience_s is not None and now_s - self.since_s >= patience_s


def deferred(wait: BusyWait | None, traffic: str, now_s: float) -> BusyWait:
    """Return the wait after another deferral."""
    return replace(wait, traffic=traffic) if wait else BusyWait(since_s=now_s, traffic=traffic)
