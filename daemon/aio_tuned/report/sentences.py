"""What a profile says of a choice, in sentences: how good it is, what else may be as good, and why measuring ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles.kept_settings import EARLIER

if TYPE_CHECKING:
    from aio_tuned.model.curve import Curve
    from aio_tuned.model.profile import Result

# A setting with this probability of being within the tolerance is one of the profile's ties.
_PROBABLE = 0.5


def _percent(number: float) -> str:
    """Return a bound in percent, with one decimal below ten: "1.6 %", "12 %"."""
    return f"{number:.1f} %" if number < 10 else f"{number:.0f} %"  # noqa: PLR2004 - more digits say nothing


def _signed(number: float) -> str:
    """Return a number of percent with one decimal and its sign, and no "-0.0"."""
    return f"{round(number, 1) + 0.0:+.1f}"


def shortfall(result: Result) -> str:
    """Return how far the setting may be below the best; "" if the profile does not say, as one of schema 1."""
    if result.regret95_percent is None:
        return ""
    return f"at most {_percent(result.regret95_percent)} below the best (95 % confidence)"


def ended(result: Result) -> str:
    """Return the confidence, and why measuring ended; "" if it is not known."""
    if result.confidence is None:
        return ""
    why = result.stopped_because
    return f"{result.confidence}, stopped because {why}" if why else result.confidence


def gain_percent(result: Result) -> float:
    """Return the gain over the default, which was measured: by the posterior, or as schema 1 has it, by the figures."""
    known = result.versus_default_percent
    return 100 * (result.throughput_bytes_per_s / result.default_throughput_bytes_per_s - 1) if known is None else known


def gain(result: Result) -> str:
    """Return how the setting compares with the default, with the interval if it is known; "" without the default."""
    default = result.default_throughput_bytes_per_s
    if not default:
        return ""
    if result.versus_default_ci95_percent == (0.0, 0.0):
        return "it is the default setting"
    above = gain_percent(result)
    said = f"{abs(above):.1f} % {'above' if above >= 0 else 'below'} the default setting"
    if result.versus_default_ci95_percent is not None:
        low, high = result.versus_default_ci95_percent
        said += f" ({_signed(low)} to {_signed(high)} %, 95 % confidence)"
    return said


def others(result: Result) -> str:
    """Return what is known of the other settings."""
    chance, tolerance = result.probability_within_tolerance, result.tolerance_percent
    rivals = result.not_ruled_out
    if chance is None or tolerance is None:
        return f"one of {result.ties} settings that tie" if result.ties > 1 else "the best seen"
    if chance < _PROBABLE:
        return f"another setting is probably more than {tolerance:g} % better, but it is not known which"
    if (alike := result.ties - 1) > 0:
        are = "setting is" if alike == 1 else "settings are"
        return f"{alike} other {are} probably as good (within {tolerance:g} % of the best)"
    if rivals == 0:
        return "no other setting is as good"
    if rivals is None:
        return "the best seen; others are not ruled out"
    return f"the best seen; {rivals} other{'s are' if rivals > 1 else ' is'} not ruled out"


def kept(result: Result) -> str:
    """Return from where the setting was kept; "" if it is the sweep's own."""
    if result.kept_from is None:
        return ""
    return "kept from the earlier sweep" if result.kept_from == EARLIER else f"kept from {result.kept_from}"


def sustained(result: Result) -> str:
    """Return what the setting gave when it was written on; "" if that was not measured."""
    rate = result.sustained_throughput_bytes_per_s
    return f"{formatting.throughput(rate)} sustained" if rate is not None else ""


def how_measured(curve: Curve) -> str:
    """Return how the points of a curve were measured: "measured once each in the pass, in transfers of 16M"."""
    size = f"in transfers of {formatting.size(curve.transfer_bytes)}"
    # The default is measured again and again, in a pass too.
    once = all(stats.visits == 1 or DEFAULT_SETTING in stats.point.aliases for stats in curve.points)
    return f"measured once each in the pass, {size}" if once else size
