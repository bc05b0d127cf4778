"""Findings on the page cache: whose pages were evicted, and transfers that passed through it in spite of O_DIRECT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.search.taint import clean_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import DropCaches, Sample
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.target import Target


def passed(samples: Sequence[Sample], direction: Direction) -> bool:
    """Return whether the direction's transfers passed through the page cache.

    Nobody else can open a scratch file, and direct I/O leaves its cache empty. A transfer may be shorter than the time
    between two looks, so half of the measurements suffice.
    """
    own = [sample for sample in clean_samples(samples) if sample.request.direction == direction]
    return 2 * sum(sample.passing_bytes > 0 for sample in own) > len(own)


def doubts(target: Target, samples: Sequence[Sample], nocow_bytes_per_s: float | None) -> list[str]:
    """Return a finding, which makes the profile provisional, for each direction that passed through the page cache.

    `nocow_bytes_per_s` is what writes to a file without copy-on-write took, if that was measured.
    """
    found = []
    directions: tuple[Direction, ...] = ("read", "write")
    for direction in directions:
        if not passed(samples, direction):
            continue
        if direction == "write" and target.filesystem == "btrfs":
            gave = formatting.throughput(nocow_bytes_per_s) if nocow_bytes_per_s else ""
            instead = f" ({gave} with the default setting)" if gave else ""
            why = "btrfs does so for files with checksums"
            action = f"run `chattr +C {target.path}` before files are made there{instead}, and tune again"
        else:
            why = f"{target.filesystem} does no direct I/O here"
            action = "use a folder without encryption, compression and data journalling, and tune again"
        found.append(
            f"{direction}: transfers pass through the page cache ({why}); the figures are the filesystem's, not the"
            f" drive's; {action}"
        )
    return found


def notes(target: Target) -> list[str]:
    """Return a finding if the scratch file is written in another way than the folder's own files."""
    if not target.nocow:
        return []
    said = (
        "write: measured on a file without copy-on-write ([sweep] btrfs); files made in the folder are slower;"
        f" run `chattr +C {target.path}` before files are made there"
    )
    return [said]


def evictions(policy: DropCaches, hello: Hello, keep_cache: str) -> list[str]:
    """Return a finding unless the host's page cache was dropped as the configuration asks by default.

    `keep_cache` is why it was kept although the configuration drops it, or "".
    """
    if policy == "never":
        return ["page cache: not dropped ([sweep] drop_caches); the device's counters alone prove that it did the I/O"]
    if policy == "file":
        why = keep_cache or "[sweep] drop_caches"
        return [f"page cache: the target's own pages were evicted, the host's were kept ({why})"]
    if not hello.drop_caches:
        why = hello.no_drop_reason
        return [f"page cache: drop_caches was not possible; the target's own pages were evicted ({why})"]
    return []
