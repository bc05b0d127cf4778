"""Whatever can happen to a node happens: the daemon lives, explains itself, and leaks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.soak import Soak

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest

ROUNDS = 4


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_soak(host: DaemonGuest) -> None:
    soak = Soak(host)
    try:
        for seed in range(ROUNDS):
            print(soak.attack(seed))
        soak.end()
    finally:
        soak.clean_up()
