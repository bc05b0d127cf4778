"""Phrases of the page: settings, figures with units, and sentences on a profile."""

from __future__ import annotations

import re
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

NAMES = {"read": "Reads", "write": "Writes", "combined": "Both"}
ONE_MEASUREMENT = "one measurement"
_OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]*)")


def setting(each: Setting) -> str:
    """Return the five parameters in short: "1M x 64, 1 thread, overlap, batch"."""
    threads = "1 thread" if each.io_parallelism == 1 else f"{each.io_parallelism} threads"
    return f"{formatting.size(each.block_size)} \N{MULTIPLICATION SIGN} {each.queue_depth}, {threads}, {mode(each)}"


def mode(each: Setting) -> str:
    """Return overlap_events and single_submit in words."""
    events = "overlap" if each.overlap_events else "sequential"
    return f"{events}, {'single' if each.single_submit else 'batch'}"


def change(ratio: float) -> str:
    """Return a ratio in words: "5 % above", "the same as"."""
    percent = (ratio - 1) * 100
    if abs(percent) < 0.5:  # noqa: PLR2004 - shown as 0 %
        return "the same as"
    digits = 0 if abs(percent) < 100 else -1  # noqa: PLR2004 - two significant digits suffice
    return f"{abs(round(percent, digits)):.0f} % {'above' if percent > 0 else 'below'}"


def percent(share: float) -> str:
    """Return a share as `history` prints it, with a space before the sign."""
    return formatting.percent(share).replace("%", "\N{NO-BREAK SPACE}%")


def whole(share: float) -> str:
    """Return a share in whole percent: "99 %"."""
    return f"{share * 100:.0f}\N{NO-BREAK SPACE}%"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: "1 measurement", "3,538 measurements"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _result(result: Result) -> str:
    parts = (sentences.shortfall(result), sentences.gain(result), sentences.kept(result))
    return "; ".join(part for part in parts if part)


def _combined(both: CombinedResult) -> str:
    return (
        f"{formatting.throughput(both.read_throughput_bytes_per_s)} of reads and"
        f" {formatting.throughput(both.write_throughput_bytes_per_s)} of writes, {whole(both.read_share)} and"
        f" {whole(both.write_share)} of the best"
    )


def _unmeasured(part: Unmeasured) -> str:
    return f"set by the administrator ({', '.join(part.overridden)})" if part.overridden else "not measured"


def verdicts(profile: Profile) -> Iterator[tuple[str, Markup]]:
    """Yield a class ("", "low" or "unknown") and a sentence for each section of the profile."""
    parts = (*profile.sections(), ("combined", profile.combined))
    for name, part in parts:
        if isinstance(part, Result):
            kind = "low" if part.confidence == "low" else ""
            known = f" (confidence: {part.confidence})" if part.confidence else ""
            heading = f"{NAMES[name]}: {formatting.throughput(part.throughput_bytes_per_s)}{known}"
            yield kind, _sentence(heading, _result(part))
        elif isinstance(part, CombinedResult):
            yield "", _sentence(NAMES[name], _combined(part))
        elif isinstance(part, Unmeasured):
            yield "unknown", _sentence(NAMES[name], _unmeasured(part))
        elif name != "combined" or not any(isinstance(each, Skipped) for _, each in profile.sections()):
            # A direction that was skipped has its own line, so the combined one adds nothing.
            yield "unknown", _sentence(NAMES[name], f"not measured: {part.skipped}")


def _sentence(heading: str, said: str) -> Markup:
    sentence = f" {said[:1].upper()}{said[1:]}." if said else ""
    return join((tag("strong", f"{heading}."), sentence.replace(" %", "\N{NO-BREAK SPACE}%")), "")


def options(text: str) -> Markup:
    """Return the text with the command line options in it as code, which no line break divides."""
    return join((tag("code", part) if part.startswith("--") else part for part in _OPTION.split(text)), "")


def drive(profile: Profile) -> str:
    """Return the facts about the drive in one line."""
    device = profile.device
    words = (
        f"serial {device.serial}" if device.serial else "",
        f"firmware {device.firmware}" if device.firmware else "",
        formatting.capacity(device.size_bytes),
        device.transport,
        device.pcie_link,
    )
    return " · ".join(word for word in words if word)


def state(profile: Profile) -> str:
    """Return the meaning of the profile's state."""
    if profile.evidence.measured_at is None:
        return "Not measured: these are default settings; run aio-tuned tune."
    return {
        "measured": "The drive's own counters confirm the I/O.",
        "provisional": "Provisional: the sweep is incomplete or unconfirmed; see the findings.",
        "stale": "Stale: the drive or its environment has changed since; see the findings, then tune again.",
    }[profile.state]


def when(profile: Profile) -> str:
    """Return when, where and how much was measured; "" if nothing was."""
    evidence = profile.evidence
    if evidence.measured_at is None:
        return ""
    effort = f", {evidence.effort} effort" if evidence.effort else ""
    checked = f", as a check of the settings of {evidence.checked_against}" if evidence.checked_against else ""
    if evidence.fleet_contributors:
        checked += f" (swept for the class on {', '.join(evidence.fleet_contributors)})"
    planned = (
        f"all {evidence.points_planned:,}"
        if evidence.points_measured == evidence.points_planned
        else f"{evidence.points_measured:,} of {evidence.points_planned:,}"
    )
    return (
        f"Measured {evidence.measured_at.replace('T', ' ').replace('+00:00', ' UTC')} on a {evidence.target}{effort}"
        f"{checked}: {count(evidence.visits, 'measurement')} of {planned} settings in"
        f" {formatting.duration(evidence.seconds)}, {formatting.amount(evidence.bytes_read)} read,"
        f" {formatting.amount(evidence.bytes_written)} written."
    )
