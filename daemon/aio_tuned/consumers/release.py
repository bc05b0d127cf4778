"""A consumer's release, as the caller names it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Wishes

# "1.5", "0.5.10.post1", "0.33.0rc2", "0.22.1+cu129", with or without a "v".
_RELEASE = re.compile(r"v?(\d+(?:\.\d+)+)(?:[.\-]?(?:a|b|rc|post|dev)\d*)*(?:\+[\w.]+)?")


def need_release(wishes: Wishes, consumer: str, first: str, lacking: str) -> None:
    """UsageError if the release that the caller wants is older than `first`, or is none.

    `lacking` says what those releases do not have. The caller who names no release has a current one.
    """
    if is_older(wishes, consumer, first):
        raise UsageError(f"{consumer} {wishes.for_version} has no {lacking}: it came with {first}")


def is_older(wishes: Wishes, consumer: str, than: str) -> bool:
    """Whether the caller wants a release older than that; UsageError if it is none. No release is a current one."""
    if wishes.for_version is None:
        return False
    return _numbers(wishes.for_version, consumer) < _numbers(than, consumer)


def ignored(wishes: Wishes, consumer: str) -> tuple[str, ...]:
    """The sentence for a release that makes no difference; none if the caller names none."""
    if wishes.for_version is None:
        return ()
    _numbers(wishes.for_version, consumer)
    return (f"for_version: makes no difference, since all releases of {consumer} that were looked at have these keys.",)


def _numbers(text: str, consumer: str) -> tuple[int, ...]:
    """The parts of the release; trailing zeros do not count: 1.0 is 1.0.0."""
    found = _RELEASE.fullmatch(text)
    if not found:
        raise UsageError(f'"{text}" is no release of {consumer}: write it as in 1.2.3')
    parts = [int(part) for part in found[1].split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)
