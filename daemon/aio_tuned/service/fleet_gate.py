"""The daemon's way to its fleet, which imports the fleet only if it is enabled or if bundles of settings are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.service import fleet_places

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.config.load import Config
    from aio_tuned.model.profile import Fingerprint, Profile
    from aio_tuned.profiles.decision import Decision
    from aio_tuned.service.drive import Drive
    from aio_tuned.service.fleet_desk import FleetDesk
    from aio_tuned.service.waits import Waits
    from aio_tuned.service.worker.messages import Disagreed, Done, Job


class FleetGate:
    """The fleet's part in what is published and swept; without a fleet it changes nothing.

    No method raises AioTunedError: `troubles` has the sentences on what does not work.
    """

    def __init__(self, config: Callable[[], Config], waits: Waits) -> None:
        self._config = config
        self._waits = waits
        self._of: Config | None = None
        self._desk: FleetDesk | None = None

    @property
    def desk(self) -> FleetDesk | None:
        """The fleet's desk for the present configuration; None without a fleet and without bundles."""
        config = self._config()
        if config is not self._of:
            self._of = config
            self._desk = None
            if config.fleet or fleet_places.has_bundles(config):
                from aio_tuned.service.fleet_desk import FleetDesk

                self._desk = FleetDesk(config, self._waits)
        return self._desk

    @property
    def troubles(self) -> tuple[str, ...]:
        """The sentences on orders and reports that could not be read or written."""
        return self._desk.troubles if self._desk else ()

    def look(self) -> bool:
        """Read the orders and the bundles again, which have no events of their own; return whether any has changed."""
        if self._desk is None:
            self._of = None  # the first bundle may have come
            return self.desk is not None
        return self._desk.look()

    def siblings(self, drive: Drive, now: Fingerprint) -> tuple[Profile, ...]:
        """Return the class result of the drive as a profile, if there is one."""
        return self.desk.siblings(drive, now) if self.desk else ()

    def advise(self, drive: Drive, now: Fingerprint, own: Profile | None, found: Decision) -> Decision:
        """Return the decision as the fleet wants it: another sweep, or a wait."""
        return self.desk.advise(drive, now, own, found) if self.desk else found

    def tell_present(self, drive: Drive, now: Fingerprint) -> None:
        """Report that the drive is there, and the state of its profile."""
        if self.desk:
            self.desk.tell_present(drive, now)

    def tell_result(self, drive: Drive, job: Job, final: Done | Disagreed) -> bool:
        """Report the end of the drive's sweep or check; return whether that ends what the fleet asked for."""
        return self.desk.tell_result(drive, job, final) if self.desk else False

    def tell_absent(self, name: str) -> None:
        """Remove the reports of a drive that may not be swept."""
        if self.desk:
            self.desk.tell_absent(name)

    def forget(self, drive: Drive) -> None:
        """Remove all that is known of a drive that was removed."""
        if self.desk:
            self.desk.forget(drive)

    def keep(self, names: set[str]) -> None:
        """Remove the reports of drives that are not among these."""
        if self.desk:
            self.desk.keep(names)
