"""The publication of each drive's profile; only `Publisher.decide` decides what to publish and what to sweep."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned import __version__
from aio_tuned.devices import clones, identity
from aio_tuned.profiles import decision
from aio_tuned.search import grid
from aio_tuned.service.drive import Publication
from aio_tuned.service.state_machine import Backoff, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aio_tuned.config.load import Config
    from aio_tuned.model.profile import Fingerprint, Profile
    from aio_tuned.profiles.decision import Decision
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.fleet_gate import FleetGate
    from aio_tuned.storage.profile_store import ProfileStore


class Publisher:
    """The publisher of the drives' profiles, which calls `changed` after each change and retries failed writes."""

    def __init__(
        self, store: ProfileStore, config: Callable[[], Config], fleet: FleetGate, changed: Callable[[], None]
    ) -> None:
        self._store = store
        self._config = config
        self._fleet = fleet
        self._changed = changed
        self._release = os.uname().release
        self._retry_at: asyncio.TimerHandle | None = None
        self._failures = 0

    def close(self) -> None:
        """Cancel the timer for retries."""
        if self._retry_at:
            self._retry_at.cancel()

    def measured(self, drive: Drive) -> Profile | None:
        """Return the last profile measured on this drive; None if it is missing or of another id."""
        own = self._store.load(drive.device.name)
        return own if own and own.device.id == drive.device.id else None

    def catalog(self) -> tuple[Profile, ...]:
        """Return every profile measured on this host."""
        return self._store.load_all()

    def decide(self, drive: Drive) -> Decision:
        """Decide what to publish for the drive and what to sweep, by the facts known now."""
        config, own, now = self._config(), self.measured(drive), self._fingerprint(drive)
        found = decision.decide(
            drive.device,
            now,
            self._release,
            drive.target,
            own,
            (*self.catalog(), *self._fleet.siblings(drive, now)),
            siblings=config.siblings,
            kernel_change=config.kernel_change,
            made_by=__version__,
        )
        if drive.full_sweep_reason:
            found = replace(found, sweep="full", reason=drive.full_sweep_reason, against=None)
        return self._fleet.advise(drive, now, own, found)

    def _fingerprint(self, drive: Drive) -> Fingerprint:
        """Return the facts on which the drive's figures depend, as they are now."""
        mounted = {filesystem for _, _, filesystem in drive.uses}
        # The writes of a btrfs depend on the folder, which only the probe has examined.
        alone = mounted.pop() if len(mounted) == 1 else ""
        filesystem = drive.target.filesystem if drive.target else "" if alone == "btrfs" else alone
        return identity.fingerprint(drive.device, filesystem, self._release)

    def refresh(self, drive: Drive) -> None:
        """Publish the profile that `decide` selects for the drive, or withdraw it if the drive may have none."""
        wanted, own = None, self.measured(drive)
        match drive.publication:
            case Publication.DOUBTED if own:
                names = tuple(sorted((drive.device.sys_name, *drive.clones)))
                wanted = own.doubted(clones.describe(names, drive.device.id))
            case Publication.ANY:
                wanted = self.decide(drive).publish
            case Publication.MEASURED if own:
                wanted = self.decide(drive).publish
        if wanted:
            self._store.publish(wanted)
        elif drive.shown:
            self._store.withdraw(drive.device.name)
        drive.shown = wanted
        if wanted:
            self._fleet.tell_present(drive, self._fingerprint(drive))
        else:
            self._fleet.tell_absent(drive.device.name)
        self._retry_later()

    def review(self) -> None:
        """Publish those profiles again whose verdicts have changed without an event."""
        self._store.review()
        self._retry_later()

    def waiting(self, drives: Iterable[Drive]) -> tuple[Drive, ...]:
        """Return the drives without a measured profile: their settings change with a sibling's profile."""
        stages = (Stage.SETTLING, Stage.QUEUED)
        return tuple(drive for drive in drives if drive.state.stage in stages and self.measured(drive) is None)

    def save(self, measured: Profile) -> bool:
        """Save a measured profile in the catalog; return False if it could not be written and is retried later."""
        saved = self._store.save(measured)
        self._retry_later()
        return saved

    def forget(self, name: str) -> int:
        """Remove all files of the drive of that name; return their number. Raise PublishError if one stays."""
        try:
            return self._store.forget(name)
        finally:
            self._changed()

    def withdraw(self, drive: Drive) -> None:
        """Remove the published profile of the drive."""
        self._store.withdraw(drive.device.name)
        self._fleet.forget(drive)
        self._retry_later()

    def adopt_published(self) -> None:
        """Add published profiles to the catalog if it lacks them because it could not be written."""
        self._store.adopt_published(len(grid.settings(self._config().grid)))
        self._retry_later()

    def withdraw_absent(self, present: Iterable[str]) -> None:
        """Withdraw the profiles of drives that were removed while the daemon was down."""
        present = {*present}
        self._store.withdraw_absent(present)
        self._fleet.keep(present)
        self._retry_later()

    def _retry_later(self) -> None:
        if not self._store.pending:
            self._failures = 0
        elif self._retry_at is None:
            self._failures += 1
            wait = Backoff.from_config(self._config()).after(self._failures)
            self._retry_at = asyncio.get_running_loop().call_later(wait, self._retry)
        self._changed()

    def _retry(self) -> None:
        self._retry_at = None
        self._store.retry()
        self._retry_later()
