"""How much longer what a test waits for takes on a machine that has other work."""

from __future__ import annotations

import os

# Load per processor that our own tests make on a quiet machine.
_OWN_LOAD = 3.0
_MOST = 4.0


def busy_s(quiet_s: float) -> float:
    """Return the time budget for what takes so many seconds on a machine that has nothing else to do."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return quiet_s * min(_MOST, max(1.0, load / _OWN_LOAD))
