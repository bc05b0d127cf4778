"""Findings on the page cache: which pages were evicted, and transfers that used the cache in spite of O_DIRECT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.search.taint import clean_samples, of_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aio_tuned.helper.protocol import Hello
    from aio_tuned.model.measurement import DropCaches, Sample
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.target import Target


def passed(samples: Sequence[Sample], direction: Direction) -> bool:
    """Return whether the transfers of the direction passed through the page cache.

    No other process can open the scratch file, and direct I/O leaves its cache empty. A transfer may be shorter than
    the interval at which the cache is sampled, so half of the measurements are sufficient evidence.
    """
    own = [sample for sample in clean_samples(of_choice(samples)) if sample.request.direction == direction]
    return 2 * sum(sample.passing_bytes > 0 for sample in own) > len(own)


def doubts(target: Target, samples: Sequence[Sample], nocow_bytes_per_s: float | None) -> list[str]:
    """Return a finding, which makes the profile provisional, for each direction that passed through the page cache.

    `nocow_bytes_per_s` is the measured throughput of writes to a file without copy-on-write, if known.
    """
    found = []
    directions: tuple[Direction, ...] = ("read", "write")
    for direction in directions:
        if not passed(samples, direction):
            continue
        if direction == "write" and target.filesystem == "btrfs":
            nocow = formatting.throughput(nocow_bytes_per_s) if nocow_bytes_per_s else ""
            reaches = f" (which reach {nocow} with the default setting)" if nocow else ""
            why = "btrfs buffers files with checksums"
            action = f"run `chattr +C {target.path}` before creating files there{reaches}, then tune again"
        else:
            why = f"no direct I/O on this {target.filesystem}"
            action = "use a directory without encryption, compression and data journalling, then tune again"
        found.append(
            f"{direction}: transfers pass through the page cache ({why}); the figures are the filesystem's, not the"
            f" drive's; {action}"
        )
    return found


def notes(target: Target) -> list[str]:
    """Return a finding if the scratch file was written in another way than other files of its directory."""
    if not target.nocow:
        return []
    finding = (
        "write: measured on a file without copy-on-write ([sweep] btrfs); other files in this directory are slower;"
        f" run `chattr +C {target.path}` before creating files there"
    )
    return [finding]


def evictions(policy: DropCaches, hello: Hello, keep_cache: str) -> list[str]:
    """Return a finding unless the host's page cache was dropped, as it is by default.

    `keep_cache` is the reason for keeping it although the configuration drops it, or "".
    """
    if policy == "never":
        return ["page cache: not dropped ([sweep] drop_caches); only the drive's counters prove the I/O"]
    if policy == "file":
        why = keep_cache or "[sweep] drop_caches"
        return [f"page cache: only the target's own pages were evicted ({why}); the host's cache was kept"]
    if not hello.drop_caches:
        why = hello.no_drop_reason
        return [f"page cache: only the target's own pages were evicted; the host's cache could not be dropped ({why})"]
    return []
