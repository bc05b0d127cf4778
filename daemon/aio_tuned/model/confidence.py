"""The confidence of a whole profile, which is the lowest of its measured sections."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from aio_tuned.model.profile import Confidence, Result

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile

# The lowest comes first, as metrics and node features number them.
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)


def rank(confidence: Confidence) -> int:
    """Return 0 for "low", 1 for "bounded" and 2 for "settled"."""
    return CONFIDENCES.index(confidence)


def lowest(profile: Profile) -> Confidence | None:
    """Return the lowest confidence of the measured sections.

    Return None if no section was measured, or if one has no confidence (files of schema 1).
    """
    found = [part.confidence for _, part in profile.sections() if isinstance(part, Result)]
    known = [each for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    return min(known, key=rank)
