"""The guest, resumed from its saved state and given the product; drives are each test's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import pytest

from vm.daemon_guest import DaemonGuest
from vm.guest import Guest
from vm.product import package, wheels
from vm.rig.errors import CommandError, RigError
from vm.rig.machine import build_image

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first one waits for the image (a minute), the saved state (half a minute) and the wheels.
TIMEOUT_S = 900

_G = TypeVar("_G", bound=Guest)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
        # QEMU itself dies now and then of a drive that is pulled with its I/O in flight.
        item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=["control channel closed"]))
        if item.get_closest_marker("long") and not os.environ.get("AIO_TUNED_LONG"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: make test-vm, or AIO_TUNED_LONG=1"))


@pytest.fixture(scope="session")
def image() -> Path:
    """The guest's image."""
    try:
        return build_image()
    except RigError as error:
        pytest.skip(f"no image of the guest: it is built from Debian's archive, which must be reachable: {error}")


@pytest.fixture(scope="session")
def product() -> Path:
    """The wheels of this tree."""
    return wheels()


class Rack(Generic[_G]):
    """Keeps one guest running: a QEMU that a test has crashed is replaced for the next."""

    def __init__(self, kind: type[_G], image: Path, product: Path) -> None:
        self.kind, self.image, self.product = kind, image, product
        self.running: _G | None = None

    def guest(self) -> _G:
        if self.running is None or not self.running.alive:
            self.stop()
            self.running = self.kind(self.image, hotplug="pciehp")
            self.running.start()
            self.running.wait_ready()
            self.running.install(self.product)
        if trouble := self.running.foreign_helper():
            pytest.skip(f"the helper as built on this machine does not run on the guest's Debian 12: {trouble}")
        return self.running

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()
            self.running = None


@pytest.fixture(scope="session")
def rack(image: Path, product: Path) -> Iterator[Rack[Guest]]:
    rack = Rack(Guest, image, product)
    try:
        yield rack
    finally:
        rack.stop()


@pytest.fixture(scope="module")
def guest_of_module(rack: Rack[Guest]) -> Iterator[Guest]:
    """For tests that look at one drive together."""
    guest = rack.guest()
    yield guest
    leave(rack, guest)


@pytest.fixture
def guest(rack: Rack[Guest]) -> Iterator[Guest]:
    """A guest without drives, with aio-tuned installed."""
    guest = rack.guest()
    yield guest
    leave(rack, guest)


@pytest.fixture(scope="session")
def daemon_rack(image: Path) -> Iterator[Rack[DaemonGuest]]:
    rack = Rack(DaemonGuest, image, package())
    try:
        yield rack
    finally:
        rack.stop()


@pytest.fixture
def host(daemon_rack: Rack[DaemonGuest]) -> Iterator[DaemonGuest]:
    """A guest without drives on which the daemon runs, as the package installs it."""
    host = daemon_rack.guest()
    yield host
    leave(daemon_rack, host)


def leave(rack: Rack[_G], guest: _G) -> None:
    """Clean up; a guest that cannot be is not used again."""
    try:
        guest.clean_up()
    except (RigError, CommandError):
        # QEMU dies now and then of a drive that is pulled with its I/O in flight: no fault of the test that is over.
        crashed = not guest.alive
        rack.stop()
        if not crashed:
            raise
