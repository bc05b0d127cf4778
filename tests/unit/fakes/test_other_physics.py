"""The simulated drives of other physics: queueing networks, parity stripes, modes, exact spells."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fakes.simulated.dice import Dice
from fakes.simulated.drive import Drive
from fakes.simulated.model import GB, DriveModel, Noise, Side
from fakes.simulated.models import HELD_BACK, NAMED
from fakes.simulated.other_physics import OTHER
from fakes.simulated.physics import figures
from fakes.simulated.truth import SETTINGS, truth
from fakes.simulated.weather import Periodic
from unit.support.builders import MIB, request, setting

if TYPE_CHECKING:
    from aio_tuned.model.setting import Setting

SIDE = Side(bytes_per_s=6 * GB, iops=1e6, latency_s=80e-6, stream_bytes_per_s=2 * GB)
NETWORK = DriveModel(
    name="network",
    family="other",
    read=SIDE,
    write=SIDE,
    streams=0.0,
    crowd=0.0,
    noise=Noise(visit=0.0, transfer=0.0),
    merges=False,
    network=True,
)


def rate(model: DriveModel, one: Setting, direction: str = "read") -> float:
    found = figures(model, direction, (one,), 256 * MIB)  # type: ignore[arg-type]  # one of the two
    return 256 * MIB / float(found.transfer_s[0])


def test_a_network_with_one_customer_waits_for_nobody() -> None:
    alone = setting(block=128 << 10, depth=1, threads=1)
    service_s = SIDE.latency_s + (128 << 10) / SIDE.stream_bytes_per_s
    link_s = (128 << 10) / SIDE.bytes_per_s
    assert 0.7 < rate(NETWORK, alone) * (service_s + link_s) / (128 << 10) <= 1


def test_a_network_rises_with_its_customers_up_to_its_slowest_station() -> None:
    rates = [rate(NETWORK, setting(block=128 << 10, depth=depth, threads=2)) for depth in (1, 2, 4, 8, 16, 32, 64)]
    assert rates == sorted(rates)
    assert 0.9 * SIDE.bytes_per_s < rates[-1] < SIDE.bytes_per_s


def test_a_parity_array_is_slower_below_a_stripe() -> None:
    model = NAMED["raid5-4"]
    plain = replace(model, write=replace(model.write, stripe_cost=0.0))
    small, large = setting(block=128 << 10, depth=1, threads=1), setting(block=1 << 20, depth=16, threads=1)
    assert rate(plain, small, "write") / rate(model, small, "write") > 1.5
    assert rate(plain, large, "write") / rate(model, large, "write") < 1.05
    assert rate(plain, small) == rate(model, small)


@pytest.mark.parametrize("name", ["sleeping-link", "far-node"])
def test_modes_come_as_often_as_they_should_and_their_mean_is_the_truth(name: str) -> None:
    model = replace(NAMED[name], noise=replace(NAMED[name].noise, visit=0.0, transfer=0.0))
    drive, one = Drive(model, 1), setting(block=1 << 20, depth=16, threads=1)
    times = [
        drive.visit(request(id=number, setting=one, transfer_bytes=64 * MIB, min_ns=0)).elapsed_ns
        for number in range(1, 1001)
    ]
    true_ns = 64 * MIB * 1e9 / drive.true_bytes_per_s("read", one, 64 * MIB)
    assert statistics.fmean(times) == pytest.approx(true_ns, rel=0.01)
    slow = sum(each > statistics.fmean(times) for each in times) / len(times)
    assert slow == pytest.approx(model.noise.mode_share, abs=0.05)
    many = setting(block=1 << 20, depth=16, threads=4)
    assert (
        len(
            {
                drive.visit(request(id=9000 + n, setting=many, transfer_bytes=64 * MIB, min_ns=0)).elapsed_ns
                for n in range(20)
            }
        )
        == 1
    )


def test_exact_spells_take_their_share_of_any_period() -> None:
    for seed in range(5):
        spells = Periodic(Dice(seed, "x"), 1.0, 3.0)
        assert spells.share(2.0, 6.0) == pytest.approx(0.25)
        parts = [spells.share(at, at + 0.5) for at in np.arange(10.0, 18.0, 0.5).tolist()]
        assert statistics.fmean(parts) == pytest.approx(0.25)
        assert max(parts) == 1.0
        assert min(parts) == 0.0


def test_each_drive_has_a_best_setting_and_half_of_them_are_held_back() -> None:
    assert len(OTHER) >= 8
    assert sum(model in HELD_BACK for model in OTHER) * 2 == len(OTHER)
    for model in OTHER:
        for direction in ("read", "write"):
            table = truth(model, direction)
            assert np.isfinite(table.bytes_per_s).all()
            assert table.bytes_per_s.min() > 0
            assert math.isclose(max(table.of(each) for each in SETTINGS), table.best_bytes_per_s)
