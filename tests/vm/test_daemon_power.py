"""The power goes at any moment of a sweep and of publishing: nothing is torn, nothing of others has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vm.attacks import PowerCuts

if TYPE_CHECKING:
    from vm.daemon_guest import DaemonGuest

CUTS = 20


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_power_cuts(host: DaemonGuest) -> None:
    cuts = PowerCuts(host)
    try:
        for seed in range(CUTS):
            cuts.attack(seed)
        cuts.end()
    finally:
        cuts.clean_up()
