"""A profile in sentences, for readers who skip the charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.report import sentences
from aio_tuned.report.html.markup import join, tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Setting
    from aio_tuned.report.html.markup import Markup

_NAMES = {"read": "Reads", "write": "Writes"}


def setting(each: Setting) -> str:
    """Return the five parameters in short: "1M x 64, 1 thread, overlap, batch"."""
    threads = "1 thread" if each.io_parallelism == 1 else f"{each.io_parallelism} threads"
    return f"{formatting.size(each.block_size)} \N{MULTIPLICATION SIGN} {each.queue_depth}, {threads}, {mode(each)}"


def mode(each: Setting) -> str:
    """Return how completions and submissions are handled."""
    events = "overlap" if each.overlap_events else "sequential"
    return f"{events}, {'single' if each.single_submit else 'batch'}"


def _long(each: Setting) -> str:
    threads = "1 thread" if each.io_parallelism == 1 else f"{each.io_parallelism} threads"
    return f"blocks of {formatting.size(each.block_size)}, {each.queue_depth} in flight on {threads}, {mode(each)}"


def interval(low: float, high: float) -> str:
    """Return both ends in the unit of the upper one."""
    if high >= 1e9:  # noqa: PLR2004 - a unit
        return f"{low / 1e9:.2f} to {high / 1e9:.2f} GB/s"
    return f"{low / 1e6:.0f} to {high / 1e6:.0f} MB/s"


def change(ratio: float) -> str:
    """Return a ratio in words: "5 % above", "the same as"."""
    percent = (ratio - 1) * 100
    if abs(percent) < 0.5:  # noqa: PLR2004 - would be shown as 0 %
        return "the same as"
    digits = 0 if abs(percent) < 100 else -1  # noqa: PLR2004 - three digits say nothing more
    return f"{abs(round(percent, digits)):.0f} % {'above' if percent > 0 else 'below'}"


def percent(share: float) -> str:
    """Return a share as `history` prints it, but with a blank before the sign."""
    return formatting.percent(share).replace("%", "\N{NO-BREAK SPACE}%")


def _result(name: str, result: Result) -> Markup:
    said = [f"with {_long(result.setting)}", sentences.gain(result), sentences.others(result)]
    more = [
        "; ".join(part for part in (sentences.shortfall(result), sentences.ended(result)) if part),
        sentences.kept(result),
    ]
    if result.sustained_throughput_bytes_per_s:
        more.append(
            f"written on and on it gave {formatting.throughput(result.sustained_throughput_bytes_per_s)} at the end"
        )
    return join(
        (
            tag("strong", f"{_NAMES[name]}: {formatting.throughput(result.throughput_bytes_per_s)}"),
            f" {'; '.join(part for part in said if part)}.",
            *(f" {part[0].upper()}{part[1:]}." for part in more if part),
        ),
        "",
    )


def _both(both: CombinedResult) -> Markup:
    said = (
        f" {_long(both.setting)} gives {formatting.throughput(both.read_throughput_bytes_per_s)} of reads and"
        f" {formatting.throughput(both.write_throughput_bytes_per_s)} of writes, {both.read_share:.0%} and"
        f" {both.write_share:.0%} of the best."
    )
    return join((tag("strong", "One setting for both:"), said), "")


def _skipped(name: str, reason: str) -> Markup:
    return join((tag("strong", f"{name}:"), f" not measured: {reason}."), "")


def verdicts(profile: Profile) -> Iterator[tuple[bool, Markup]]:
    """Yield whether each section was measured, and sentences about it."""
    for name, part in profile.sections():
        if isinstance(part, Result):
            yield True, _result(name, part)
        elif isinstance(part, Unmeasured):
            yield False, _unmeasured(_NAMES[name], part)
        else:
            yield False, _skipped(_NAMES[name], part.skipped)
    both = profile.combined
    if isinstance(both, CombinedResult):
        yield True, _both(both)
    elif isinstance(both, Unmeasured):
        yield False, _unmeasured("One setting for both", both)
    elif not any(isinstance(part, Skipped) for _, part in profile.sections()):
        yield False, _skipped("One setting for both", both.skipped)


def _unmeasured(name: str, part: Unmeasured) -> Markup:
    why = (
        f"set by the administrator ({', '.join(part.overridden)})" if part.overridden else "not measured on this drive"
    )
    return join((tag("strong", f"{name}:"), f" {_long(part.setting)}, {why}."), "")


def drive(profile: Profile) -> str:
    """Return the facts about the drive in one line."""
    device = profile.device
    words = (
        f"serial {device.serial}" if device.serial else "",
        f"firmware {device.firmware}" if device.firmware else "",
        formatting.size(device.size_bytes),
        device.transport,
        device.pcie_link,
    )
    return " · ".join(word for word in words if word)


def state(profile: Profile) -> str:
    """Return what the state says about the figures."""
    if profile.evidence.measured_at is None:
        return "Nothing has been measured on this drive yet: these are settings to begin with."
    return {
        "measured": "All planned points were measured, and the drive's own counters prove the I/O.",
        "provisional": "Provisional: the findings say what is missing for a measured profile.",
        "stale": "Stale: something that the figures depend on has changed since; the findings say what.",
    }[profile.state]
