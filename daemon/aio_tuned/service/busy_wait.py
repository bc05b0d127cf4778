"""The wait of a sweep that is deferred repeatedly because other processes keep its drive busy."""

from __future__ import annotations

from dataclasses import dataclass, replace

# With [throttle] patience = "never" the wait is reported after a day.
_REPORTED_AFTER_S = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BusyWait:
    """The wait for other processes since `since_s`, in seconds of a monotonic clock; `traffic` is their last I/O."""

    since_s: float
    traffic: str

    def never_quiet(self, patience_s: float | None, now_s: float) -> str:
        """Return a sentence on the wait once it exceeds the patience, or a day if that is None; before that ""."""
        waited_s = now_s - self.since_s
        if waited_s < (_REPORTED_AFTER_S if patience_s is None else patience_s):
            return ""
        return f"busy at every check for {waited_s / 3600:.0f} h: {self.traffic}"

    def is_over(self, patience_s: float | None, now_s: float) -> bool:
        """Return whether the sweep may now run in spite of other processes."""
        return patience_s is not None and now_s - self.since_s >= patience_s


def deferred(wait: BusyWait | None, traffic: str, now_s: float) -> BusyWait:
    """Return the wait after another deferral."""
    return replace(wait, traffic=traffic) if wait else BusyWait(since_s=now_s, traffic=traffic)
