"""The guest, resumed from its saved state and given the product; drives are each test's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vm.guest import Guest
from vm.product import wheels
from vm.rig.errors import CommandError, RigError
from vm.rig.machine import build_image

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first one waits for the image (a minute), the saved state (half a minute) and the wheels.
TIMEOUT_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


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


class Rack:
    """Keeps one guest running: a QEMU that a test has crashed is replaced for the next."""

    def __init__(self, image: Path, product: Path) -> None:
        self.image, self.product = image, product
        self.running: Guest | None = None

    def guest(self) -> Guest:
        if self.running is None or not self.running.alive:
            self.stop()
            self.running = Guest(self.image, hotplug="pciehp")
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
def rack(image: Path, product: Path) -> Iterator[Rack]:
    rack = Rack(image, product)
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
    """A guest without drives, with aio-tuned installed."""
    guest = rack.guest()
    yield guest
    leave(rack, guest)


def leave(rack: Rack, guest: Guest) -> None:
    """Clean up; a guest that cannot be is not used again."""
    try:
        guest.clean_up()
    except (RigError, CommandError):
        rack.stop()
        raise
