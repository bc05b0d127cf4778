"""How warm a drive gets: what is read, how often, and that each visit of a sweep has it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, cast

import pytest

from aio_tuned.devices.sensors import Sensors
from aio_tuned.devices.thermometer import Thermometer
from aio_tuned.model.temperature import Heat, Warned
from aio_tuned.sweep.observer import NullObserver
from aio_tuned.sweep.run import run_sweep
from unit.support.drives import Block, Host, nvme
from unit.sweep.test_resume import ORDER, Stand

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.helper.process import Helper


class Clock:
    """One that only we move."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def drive(host: Host) -> Block:
    return nvme(host)


def of(host: Host, clock: Clock | None = None) -> Thermometer:
    return Thermometer(Sensors("259:0", host.sys, host.proc), clock or Clock())


def read(one: Thermometer) -> list[float] | None:
    found = asyncio.run(one.read())
    return None if found is None else [each.celsius for each in found]


def test_the_hottest_sensor_counts(host: Host, drive: Block) -> None:
    drive.warm("device/hwmon0", temp1_input=41_850, temp1_max=80_000)
    drive.warm("device/hwmon1", temp1_input=55_000, temp1_max=50_000)
    one = of(host)
    assert (one.celsius, one.peak_celsius, one.warned) == (None, None, None)
    assert read(one) == [41.85, 55.0]
    assert (one.celsius, one.peak_celsius, one.warned) == (55.0, 55.0, Warned(celsius=55.0, limit=50.0))


def test_it_reads_once_a_second_and_remembers_the_peak(host: Host, drive: Block) -> None:
    clock = Clock()
    one = of(host, clock)
    drive.warm("device/hwmon0", temp1_input=60_000)
    assert read(one) == [60.0]
    drive.warm("device/hwmon0", temp1_input=50_000)
    clock.now_s += 0.9
    assert read(one) is None
    assert one.celsius == 60.0
    clock.now_s += 0.2
    assert read(one) == [50.0]
    assert (one.celsius, one.peak_celsius) == (50.0, 60.0)


def test_a_sensor_that_is_gone_says_nothing(host: Host, drive: Block) -> None:
    clock = Clock()
    one = of(host, clock)
    drive.warm("device/hwmon0", temp1_input=60_000)
    read(one)
    drive.warm("device/hwmon0", temp1_input=0)
    clock.now_s += 1
    assert read(one) == []
    assert (one.celsius, one.peak_celsius) == (None, 60.0)


def test_a_drive_that_does_not_answer_is_not_waited_for(host: Host, drive: Block) -> None:
    drive.warm("device/hwmon0", temp1_max=80_000)
    silent = drive.directory / "device/hwmon0/temp1_input"
    os.mkfifo(silent)
    one = Thermometer(Sensors("259:0", host.sys, host.proc), Clock(), max_s=0.05)
    assert read(one) == []
    assert one.celsius is None
    # The thread that still waits for it must not wait for ever.
    os.close(os.open(silent, os.O_WRONLY | os.O_NONBLOCK))


def test_every_visit_of_a_sweep_says_how_warm_it_was(host: Host, drive: Block) -> None:
    drive.warm("device/hwmon0", temp1_input=71_000, temp1_max=70_000)
    observer = NullObserver(of(host))
    outcome = asyncio.run(run_sweep(cast("Helper", Stand(1)), ORDER, observer=observer))
    assert {sample.celsius for sample in outcome.samples} == {71.0}
    assert observer.peak_celsius == 71.0
    assert observer.heat == Heat(warned=Warned(celsius=71.0, limit=70.0))


def test_nobody_knows_how_warm_it_is_without_one() -> None:
    observer = NullObserver()
    outcome = asyncio.run(run_sweep(cast("Helper", Stand(1)), ORDER, observer=observer))
    assert {sample.celsius for sample in outcome.samples} == {None}
    assert (observer.celsius, observer.peak_celsius, observer.heat) == (None, None, Heat())
