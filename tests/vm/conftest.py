"""The guest, resumed from its saved state and given the product; drives are each test's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vm.daemon_guest import DaemonGuest
from vm.guest import Guest
from vm.product import package
from vm.rig.errors import CommandError, RigError
from vm.rig.machine import build_image

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first one waits for the image (a minute), the package and the saved states (a minute).
TIMEOUT_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
        # QEMU itself dies now and then of a drive that is pulled with its I/O in flight.
        item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=["control channel closed"]))


@pytest.fixture(scope="session")
def image() -> Path:
    """The guest's image."""
    try:
        return build_image()
    except RigError as error:
        pytest.skip(f"no image of the guest: it is built from Debian's archive, which must be reachable: {error}")


class Rack:
    """Keeps one guest running: a QEMU that a test has crashed is replaced for the next."""

    def __init__(self, image: Path) -> None:
        self.image = image
        self.running: DaemonGuest | None = None

    def guest(self) -> DaemonGuest:
        if self.running is None or not self.running.alive:
            self.stop()
            self.running = self._started()
        return self.running

    def _started(self) -> DaemonGuest:
        guest = DaemonGuest(self.image, package())
        try:
            guest.start()
            guest.wait_ready()
        except Exception:
            guest.stop()
            raise
        return guest

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()
            self.running = None


@pytest.fixture(scope="session")
def rack(image: Path) -> Iterator[Rack]:
    rack = Rack(image)
    try:
        yield rack
    finally:
        rack.stop()


@pytest.fixture(scope="module")
def guest_of_module(rack: Rack) -> Iterator[Guest]:
    """For tests that look at one drive together."""
    guest = rack.guest()
    yield guest
    leave(rack, guest)


@pytest.fixture
def guest(rack: Rack) -> Iterator[Guest]:
    """A guest without drives, with aio-tuned installed and its daemon stopped."""
    guest = rack.guest()
    yield guest
    leave(rack, guest)


@pytest.fixture
def host(rack: Rack) -> Iterator[DaemonGuest]:
    """The same guest, for tests that start the daemon."""
    host = rack.guest()
    yield host
    leave(rack, host)


@pytest.fixture
def bare(image: Path) -> Iterator[Guest]:
    """A guest that knows nothing of us yet."""
    with Guest(image) as guest:
        yield guest


def leave(rack: Rack, guest: Guest) -> None:
    """Clean up; a guest that cannot be is not used again."""
    try:
        guest.clean_up()
    except (RigError, CommandError):
        # QEMU dies now and then of a drive that is pulled with its I/O in flight: no fault of the test that is over.
        crashed = not guest.alive
        rack.stop()
        if not crashed:
            raise
