"""Sentences on a chosen setting: how good it is, which others may be as good, and why measuring ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles.kept_settings import EARLIER

if TYPE_CHECKING:
    from aio_tuned.model.curve import Curve
    from aio_tuned.model.profile import Evidence, Result

# A setting with this probability of being within the tolerance is one of the profile's ties.
_PROBABLE = 0.5


def _percent(number: float) -> str:
    """Return a limit in percent, with one decimal below ten: "1.6 %", "12 %"."""
    return f"{number:.1f} %" if number < 10 else f"{number:.0f} %"  # noqa: PLR2004 - two significant digits suffice


def signed(number: float) -> str:
    """Return a number of percent with one decimal and its sign, and no "-0.0"."""
    return f"{round(number, 1) + 0.0:+.1f}"


def shortfall(result: Result) -> str:
    """Return how far the setting may be below the best; "" if that is not known, as in a profile of schema 1."""
    if result.regret95_percent is None:
        return ""
    return f"at most {_percent(result.regret95_percent)} below the best (95 % confidence)"


def ended(result: Result) -> str:
    """Return the confidence and why measuring ended; "" if they are not known."""
    if result.confidence is None:
        return ""
    why = result.stopped_because
    return f"{result.confidence}, stopped because {why}" if why else result.confidence


def gain_percent(result: Result) -> float:
    """Return the gain over the measured default in percent, by the posterior; in schema 1, by the throughputs."""
    known = result.versus_default_percent
    return 100 * (result.throughput_bytes_per_s / result.default_throughput_bytes_per_s - 1) if known is None else known


def gain(result: Result) -> str:
    """Return the gain over the default setting with its interval, if known; "" if the default was not measured."""
    default = result.default_throughput_bytes_per_s
    if not default:
        return ""
    if result.versus_default_ci95_percent == (0.0, 0.0):
        return "it is the default setting"
    above = gain_percent(result)
    said = f"{abs(above):.1f} % {'above' if above >= 0 else 'below'} the default setting"
    if result.versus_default_ci95_percent is not None:
        low, high = result.versus_default_ci95_percent
        said += f" ({signed(low)} to {signed(high)} %, 95 % confidence)"
    return said


def others(result: Result) -> str:
    """Return how the setting compares with all others that were measured."""
    chance, tolerance = result.probability_within_tolerance, result.tolerance_percent
    rivals = result.not_ruled_out
    if chance is None or tolerance is None:
        return f"one of {result.ties} equivalent settings" if result.ties > 1 else "the best measured setting"
    if chance < _PROBABLE:
        return f"some other setting is probably more than {tolerance:g} % faster, but it is not known which"
    if (alike := result.ties - 1) > 0:
        are = "setting is" if alike == 1 else "settings are"
        return f"{alike} other {are} probably as good (within {tolerance:g} % of the best)"
    if rivals == 0:
        return "no other setting is as good"
    if rivals is None:
        return "the best measured setting; others may be better"
    return f"the best measured setting; {rivals} other{'s' if rivals > 1 else ''} may be better"


def kept(result: Result) -> str:
    """Return the profile from which the setting was kept; "" if the sweep has chosen it."""
    if result.kept_from is None:
        return ""
    return "kept from the earlier sweep" if result.kept_from == EARLIER else f"kept from {result.kept_from}"


def sustained(result: Result) -> str:
    """Return the throughput of the setting in sustained writes; "" if that was not measured."""
    rate = result.sustained_throughput_bytes_per_s
    return f"{formatting.throughput(rate)} sustained" if rate is not None else ""


def how_measured(curve: Curve) -> str:
    """Return how the settings of a curve were measured: "each measured once, in transfers of 16 MiB"."""
    size = f"in transfers of {formatting.amount(curve.transfer_bytes)}"
    # The default is repeated in a pass too, to correct for drift.
    once = all(stats.visits == 1 or DEFAULT_SETTING in stats.point.aliases for stats in curve.points)
    return f"each measured once, {size}" if once else size


def origin(evidence: Evidence) -> list[str]:
    """Return whose settings a check has confirmed, and which drives were swept for these; none after a full sweep."""
    lines = []
    if evidence.checked_against:
        lines.append(f"check of the settings of {evidence.checked_against}, not a full sweep")
    if evidence.fleet_contributors:
        lines.append(f"swept for the class on {', '.join(evidence.fleet_contributors)}")
    return lines
