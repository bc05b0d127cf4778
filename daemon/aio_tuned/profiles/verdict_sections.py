"""The sections of verdicts, [verified_<consumer>], in a profile and in the files of the state folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aio_tuned.errors import ProfileError
from aio_tuned.model.verdict import Verdict
from aio_tuned.profiles.values import fill, plain, section

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "verified_"


def verdict_name(consumer: str) -> str:
    """Return the name of the consumer's section."""
    return f"{_PREFIX}{consumer}"


def verdict_table(verdict: Verdict) -> dict[str, Any]:
    """Return the content of the verdict's section."""
    table: dict[str, Any] = plain(verdict, verdict_name(verdict.consumer))
    del table["consumer"]  # the section's name has it
    return table


def verdicts(document: Mapping[str, object]) -> tuple[Verdict, ...]:
    """Return the verdicts of a document in its order; raise ProfileError if one is invalid."""
    return tuple(_verdict(document, name) for name in document if name.startswith(_PREFIX))


def _verdict(document: Mapping[str, object], name: str) -> Verdict:
    found = fill(Verdict, {**section(document, name), "consumer": name.removeprefix(_PREFIX)}, name)
    figures = (
        (found.ratio, found.ci95),
        (found.read_ratio, found.read_ci95),
        (found.write_ratio, found.write_ci95),
    )
    rates = (
        found.read_default_bytes_per_s,
        found.read_bytes_per_s,
        found.write_default_bytes_per_s,
        found.write_bytes_per_s,
    )
    if min(rates) < 1 or not all(0 < low <= ratio <= high for ratio, (low, high) in figures):
        raise ProfileError(f"[{name}] has impossible figures")
    return found
