"""The consequence of a verdict: a consumer for which the settings are not better gets its own default."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import Export, ExportOptions
    from aio_tuned.model.verdict import Verdict
    from aio_tuned.reader import DriveSettings


# "0.19.8", "v0.19.8", "fio-3.33".
_PLAIN_RELEASE = re.compile(r"(?:v|fio-)?(\d+(?:\.\d+)*)")


def setting_text(made: Export) -> str:
    """Return the values that have a default as one line, by which a verdict names them."""
    return " ".join(
        f"{'.'.join(map(str, path))}={json.dumps(value)}"
        for path, value in made.values.items()
        if path in made.defaults
    )


def in_force(name: str, made: Export, drive: DriveSettings, options: ExportOptions) -> Export:
    """Return the consumer's own default in place of values that are not better by the drive's verdict, with a note.

    A verdict on other values, or on another release than the caller's, has no effect.
    """
    for verdict in drive.verified:
        applies = verdict.setting == setting_text(made) and _is_meant(options.for_version, verdict.version)
        if verdict.consumer == name and not verdict.better and applies:
            values = {path: made.defaults.get(path, value) for path, value in made.values.items()}
            return replace(made, values=values, notes=(_reason(verdict), *_other_notes(made)))
    return made


def _is_meant(wanted: str | None, measured: str) -> bool:
    """Return whether the caller's release is the one that was measured; any is without a release.

    "v0.19.8" is "0.19.8", and "3.33" is "fio-3.33".
    """
    return wanted is None or _numbers(wanted) == _numbers(measured)


def _numbers(release: str) -> tuple[int, ...] | str:
    """Return the numbers of a release without trailing zeros, or the text itself if it is a development release."""
    found = _PLAIN_RELEASE.fullmatch(release)
    return tuple(map(int, re.sub(r"(\.0)+$", "", found[1]).split("."))) if found else release


def _reason(verdict: Verdict) -> str:
    what, ratio, (low, high) = _loss(verdict)
    return (
        f"{verdict.consumer}: its own default, because aio-tuned verify found the drive's settings not better:"
        f" {ratio:.3f} times the {what} (95 % interval {low:.3f} to {high:.3f}) with {verdict.version} at"
        f" {verdict.measured_at}."
    )


def _loss(verdict: Verdict) -> tuple[str, float, tuple[float, float]]:
    """Return the throughput that decided, with its ratio and interval: of both directions, or of one that lost."""
    if verdict.ci95[1] >= 1:
        for direction, ratio, ci95 in (
            ("reads", verdict.read_ratio, verdict.read_ci95),
            ("writes", verdict.write_ratio, verdict.write_ci95),
        ):
            if ci95[1] < 1:
                return f"throughput of {direction}", ratio, ci95
    return "throughput", verdict.ratio, verdict.ci95


def _other_notes(made: Export) -> Iterator[str]:
    """Yield the notes that do not begin with the key of a replaced value."""
    replaced = {str(path[-1]) for path in made.defaults}
    return (note for note in made.notes if note.split(":")[0].split(" ")[0] not in replaced)
