"""The table of a profile's figures, a column for each direction and one for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.profile import CombinedResult, Result, Unmeasured
from aio_tuned.report import sentences
from aio_tuned.report.html import prose
from aio_tuned.report.parameters import KEYS, value

if TYPE_CHECKING:
    from collections.abc import Collection

    from aio_tuned.model.profile import Profile, Skipped

    Part = Result | CombinedResult | Unmeasured | Skipped


def columns(profile: Profile) -> list[tuple[str, Result | CombinedResult | Unmeasured]]:
    """Return the sections that have a setting, each with its name; skipped sections have none."""
    parts: list[tuple[str, Part]] = [*profile.sections(), ("combined", profile.combined)]
    return [(name, part) for name, part in parts if isinstance(part, (Result, CombinedResult, Unmeasured))]


def keys(profile: Profile) -> tuple[list[str], list[list[str]]]:
    """Return the five parameters as a table: its head, and a row for each key with the value in each section."""
    found = columns(profile)
    rows = [[key, *(_shown(part.setting, key) for _, part in found)] for key in KEYS]
    return ["", *(prose.NAMES[name] for name, _ in found)], rows


def _shown(setting: object, key: str) -> str:
    said = value(setting, key)
    return f"{said} ({formatting.size(int(said))})" if key == "block_size" else said


def rows(profile: Profile, once: Collection[str]) -> list[tuple[str, ...]]:
    """Return the rows of the figures; `once` names the directions whose setting was measured once."""
    found = [_figures(part, is_once=name in once) for name, part in columns(profile)]
    names = list(dict.fromkeys(name for each in found for name in each))
    table = [(name, *(each.get(name, "") for each in found)) for name in names]
    return [row for row in table if any(row[1:])]


def throughput_interval(part: Result, *, is_once: bool) -> str:
    """Return the 95 % interval of the throughput, which a single measurement does not have."""
    if is_once:
        return prose.ONE_MEASUREMENT
    return formatting.throughput_range(*part.throughput_ci95_bytes_per_s, part.throughput_bytes_per_s)


def below_best(part: Result) -> str:
    """Return the expected shortfall and its bound: "0.5 % expected, at most 1.7 %"."""
    if part.regret95_percent is None:
        return ""
    expected = part.expected_shortfall_percent
    bound = f"at most {part.regret95_percent:.1f} %"
    return bound if expected is None else f"{bound}, {expected:.1f} % expected"


def over_default(part: Result) -> str:
    """Return the gain over the default with its interval: "+1.2 % (-0.2 to +2.8 %)"."""
    if not part.default_throughput_bytes_per_s:
        return "default not measured"
    interval = part.versus_default_ci95_percent
    if interval == (0.0, 0.0):
        return "is the default"
    gain = f"{sentences.signed(sentences.gain_percent(part))} %"
    return gain if interval is None else f"{gain} ({' to '.join(map(sentences.signed, interval))} %)"


def _figures(part: Part, *, is_once: bool) -> dict[str, str]:
    if isinstance(part, CombinedResult):
        read, write = part.read_throughput_bytes_per_s, part.write_throughput_bytes_per_s
        return {
            "throughput": f"{formatting.throughput(read)} read, {formatting.throughput(write)} write",
            "share of the best": f"{prose.whole(part.read_share)} read, {prose.whole(part.write_share)} write",
            "equivalent settings": str(part.ties),
        }
    if isinstance(part, Unmeasured):
        by_hand = ", ".join(part.overridden)
        return {"throughput": f"not measured; set by the administrator: {by_hand}" if by_hand else "not measured"}
    if not isinstance(part, Result):
        return {}
    default, sustained = part.default_throughput_bytes_per_s, part.sustained_throughput_bytes_per_s
    return {
        "throughput": formatting.throughput(part.throughput_bytes_per_s),
        "95 % interval": throughput_interval(part, is_once=is_once),
        "99th percentile latency": f"{part.latency_p99_us / 1000:.2f} ms",
        "below the best (95 %)": below_best(part),
        "over the default (95 %)": over_default(part),
        "default's throughput": formatting.throughput(default) if default else "",
        "sustained writes": formatting.throughput(sustained) if sustained else "",
        "equivalent settings": str(part.ties),
        "settings not ruled out": "" if part.not_ruled_out is None else str(part.not_ruled_out),
        "confidence": part.confidence or "",
        "stopped because": part.stopped_because or "",
        "kept from": part.kept_from or "",
        "transfer size": formatting.amount(part.transfer_bytes),
    }
