"""What to sweep, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.helper.process import END_S
from aio_tuned.model.measurement import DROPPING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device
    from aio_tuned.model.measurement import DropCaches
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """What to sweep, and how.

    `settings` are measured in place of the whole grid, to check another drive's profile, `against`. `others` are the
    profiles that are known on this host. `write_budget_bytes` limits this run if it is less than the configured budget.
    `diskseq` identifies the disk that is meant, and `named` gives it the name of its profile. `no_raw_write` is why a
    raw device is not written, or "", and `keep_cache` why the host's page cache is kept although the configuration has
    it dropped, or "". Settings with more than `max_concurrency` requests in flight are left out, and `never_quiet` is
    the I/O of other processes on such a drive, or "". No transfer is planned that takes longer than `max_transfer_ns`,
    and a measurement ends early once other processes have moved `max_foreign_bytes` (0: no limit).
    The helper takes up to `ballast_bytes` of memory while it allocates its buffer (native/src/io/recycled.h).
    The observer of a `resumable` sweep keeps a checkpoint. The helper has `grace_s` seconds to end. The time budget
    counts all time since `began_ns` of CLOCK_MONOTONIC; if that is None, only the measurements.
    """

    target: Path
    config: Config
    seed: int
    helper: Path
    raw: bool = False
    read_only: bool = False
    thin_writes: bool = False
    settings: Mapping[Direction, tuple[Setting, ...]] | None = None
    against: Profile | None = None
    others: tuple[Profile, ...] = ()
    write_budget_bytes: int | None = None
    diskseq: int | None = None
    named: Callable[[Device], Device] | None = None
    resumable: bool = False
    no_raw_write: str = ""
    keep_cache: str = ""
    max_concurrency: int | None = None
    never_quiet: str = ""
    max_transfer_ns: int | None = None
    max_foreign_bytes: int = 0
    ballast_bytes: int = 0
    grace_s: float = END_S
    began_ns: int | None = None

    @property
    def drop_caches(self) -> DropCaches:
        """The policy of this sweep."""
        policy = self.config.drop_caches
        return "file" if self.keep_cache and policy in DROPPING else policy
