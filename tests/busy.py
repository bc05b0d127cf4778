"""Time limits for tests, scaled by the load of the machine."""

from __future__ import annotations

import os

# The load per processor that the tests themselves cause on an idle machine.
_OWN_LOAD = 3.0
_MOST = 4.0


def busy_s(quiet_s: float) -> float:
    """Return the time limit in seconds for an operation with this limit on an idle machine."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return quiet_s * min(_MOST, max(1.0, load / _OWN_LOAD))
