"""How long ago something happened, in words."""

from __future__ import annotations

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def ago(at_s: float, now_s: float) -> str:
    """Return the time since a Unix time in its largest unit of which there are two: "3 d ago", "45 min ago".

    Clocks may be apart, so a time ahead is "just now".
    """
    passed = now_s - at_s
    for unit, seconds in _UNITS:
        if passed >= 2 * seconds:
            return f"{passed // seconds:.0f} {unit} ago"
    return "just now"
