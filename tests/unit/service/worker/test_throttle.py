from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices.sensors import Sensors
from aio_tuned.errors import BusyDriveError, DeferredError
from aio_tuned.model.temperature import Heat, Warned
from aio_tuned.service.worker.throttle import Throttle
from unit.service.worker.test_throttle_rules import RULES
from unit.support.builders import MIB, sample
from unit.support.drives import Host, nvme

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.model.measurement import Sample
    from aio_tuned.service.worker.throttle_rules import ThrottleRules

NOON = datetime(2026, 3, 9, 12, 0)  # noqa: DTZ001 - local time, as the gate's
LOOK_S = 0.25
TAINTED = sample(foreign_bytes=64 * MIB)


def nobody(_seconds: float) -> None:
    """No one else uses the drive."""


class World:
    """A drive at 40 °C (limit 80 °C), a clock that only sleeping advances, and other processes that use the drive."""

    def __init__(self, root: Path) -> None:
        self.host = Host(root)
        self.drive = nvme(self.host)
        self.warm(40)
        self.clock_s = 1000.0
        self.slept: list[float] = []
        self.notices: list[str] = []
        self.others: Callable[[float], None] = nobody

    def warm(self, celsius: float) -> None:
        self.drive.warm("device/hwmon0", temp1_input=round(celsius * 1000), temp1_max=80_000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock_s += seconds
        self.others(seconds)

    def moves_at(self, bytes_per_s: float) -> Callable[[float], None]:
        return lambda seconds: self.drive.moves(written=int(bytes_per_s * seconds))

    def moves_for(self, busy_s: float, bytes_per_s: float = 120e6) -> Callable[[float], None]:
        """Other processes that end after so many seconds."""
        begun = self.clock_s

        def move(seconds: float) -> None:
            busy = max(0.0, min(seconds, begun + busy_s - (self.clock_s - seconds)))
            self.drive.moves(read=int(bytes_per_s * busy))

        return move

    def asks(self, requests_per_s: float) -> Callable[[float], None]:
        """Others who read 4 KiB at a time."""
        return lambda seconds: self.drive.moves(
            read=round(requests_per_s * seconds) * 4096, requests=round(requests_per_s * seconds)
        )

    def gate(self, throttle: ThrottleRules = RULES, *, patient: bool = True) -> Throttle:
        return Throttle(
            throttle,
            Sensors("259:0", self.host.sys, self.host.proc),
            notice=self.notices.append,
            patient=patient,
            now=lambda: NOON + timedelta(seconds=self.clock_s - 1000),
            monotonic=lambda: self.clock_s,
            sleep=self.sleep,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def before(gate: Throttle, previous: Sample | None = None) -> None:
    asyncio.run(gate.before(previous))


def deferred(gate: Throttle) -> DeferredError:
    with pytest.raises(DeferredError) as caught:
        before(gate)
    return caught.value


class TestLooks:
    def test_the_first_visit_waits_for_a_look(self, world: World) -> None:
        before(world.gate())
        assert world.slept == [LOOK_S]
        assert world.notices == []

    def test_the_next_does_not_until_ten_seconds_later(self, world: World) -> None:
        gate = world.gate()
        before(gate)
        world.clock_s += 9.9
        before(gate, sample())
        assert world.slept == [LOOK_S]
        world.clock_s += 0.1
        before(gate, sample())
        assert world.slept == [LOOK_S, LOOK_S]

    def test_a_visit_that_others_tainted_is_cause_for_a_look(self, world: World) -> None:
        gate = world.gate()
        before(gate)
        before(gate, TAINTED)
        assert world.slept == [LOOK_S, LOOK_S]

    def test_a_visit_that_a_cache_served_is_none(self, world: World) -> None:
        gate = world.gate()
        before(gate)
        before(gate, sample(verdict="cache"))
        assert world.slept == [LOOK_S]

    def test_what_our_own_visit_moved_does_not_count(self, world: World) -> None:
        gate = world.gate()
        before(gate)
        world.drive.moves(read=64 << 30)
        world.clock_s += 10
        before(gate, sample())
        assert world.notices == []

    def test_a_little_use_by_others_is_borne(self, world: World) -> None:
        world.others = world.moves_at(15e6)
        before(world.gate())
        assert world.notices == []

    def test_a_drive_that_is_gone_is_the_helpers_to_report(self, world: World) -> None:
        (world.host.sys / "dev/block/259:0").unlink()
        gate = world.gate()
        before(gate)
        assert gate.thermometer.peak_celsius is None
        assert world.notices == []

    def test_counters_that_were_reset_are_no_use(self, world: World) -> None:
        world.drive.moves(read=64 << 30)
        world.others = lambda _: world.drive.moves(read=-(32 << 30))
        before(world.gate())
        assert world.notices == []

    def test_pressure_alone_holds_nothing_up(self, world: World) -> None:
        world.host.pressure(0)
        world.others = lambda seconds: world.host.pressure(int(seconds * 1e6))
        before(world.gate())
        assert world.notices == []

    def test_pressure_with_some_use_does(self, world: World) -> None:
        world.host.pressure(0)
        began = world.clock_s

        def wait(seconds: float) -> None:
            if world.clock_s < began + 1:
                world.host.pressure(int(seconds * 1e6))
                world.drive.moves(read=int(2e6 * seconds))

        world.others = wait
        before(world.gate())
        expected = "other processes transfer 2 MB/s on the drive and wait for I/O 100 % of the time"
        assert world.notices == [expected, ""]


class TestPauses:
    def test_it_waits_until_others_are_done(self, world: World) -> None:
        world.others = world.moves_for(22.0)
        gate = world.gate()
        before(gate)
        # The third wait saw them for two of its ten seconds: 24 MB/s are still too much. The fourth saw nobody.
        assert world.slept == [LOOK_S, 10.0, 10.0, 10.0, 10.0, LOOK_S]
        assert world.notices[0] == "other processes transfer 120 MB/s on the drive"
        assert world.notices[-1] == ""
        assert "" not in world.notices[:-1]
        assert gate.paused_s == pytest.approx(40.25)

    def test_pauses_add_up(self, world: World) -> None:
        gate = world.gate()
        for _ in range(2):
            world.others = world.moves_for(LOOK_S)
            before(gate, TAINTED)
        assert gate.paused_s == pytest.approx(20.5)

    def test_others_who_begin_again_at_the_end_of_the_wait_are_seen(self, world: World) -> None:
        spells = iter([True, False, True])
        world.others = lambda seconds: world.drive.moves(read=int(120e6 * seconds) if next(spells, False) else 0)
        before(world.gate())
        assert world.slept == [LOOK_S, 10.0, LOOK_S, 10.0, LOOK_S]

    def test_it_gives_way_rather_than_hold_the_scratch_file(self, world: World) -> None:
        world.others = world.moves_at(120e6)
        gate = world.gate()
        error = deferred(gate)
        assert str(error) == "other processes transfer 120 MB/s on the drive"
        assert error.seconds == pytest.approx(300)
        assert world.slept == [LOOK_S, *[10.0] * 6]
        assert gate.paused_s == pytest.approx(60)

    def test_it_gives_way_at_once_if_the_min_pause_is_longer_than_that(self, world: World) -> None:
        world.others = world.moves_at(120e6)
        error = deferred(world.gate(replace(RULES, min_pause_s=90.0)))
        assert world.slept == [LOOK_S]
        assert error.seconds == pytest.approx(2700)

    def test_each_pause_may_last_that_long(self, world: World) -> None:
        gate = world.gate()
        for _ in range(3):
            world.others = world.moves_for(22.0)
            before(gate, TAINTED)
        assert gate.paused_s > RULES.max_hold_s

    def test_a_cancelled_pause_counts_until_then(self, world: World) -> None:
        async def end(seconds: float) -> None:
            await world.sleep(seconds)
            if seconds == RULES.min_pause_s:
                raise asyncio.CancelledError

        world.others = world.moves_at(120e6)
        gate = Throttle(
            RULES,
            Sensors("259:0", world.host.sys, world.host.proc),
            notice=world.notices.append,
            now=lambda: NOON,
            monotonic=lambda: world.clock_s,
            sleep=end,
        )
        with pytest.raises(asyncio.CancelledError):
            before(gate)
        assert gate.paused_s == pytest.approx(10)
        assert world.notices == ["other processes transfer 120 MB/s on the drive"]


COUNTING = replace(RULES, busy_requests_per_s=20)
QUIET_S = 2.0


class TestRequests:
    def test_a_server_that_reads_4_kib_at_a_time_pauses_the_sweep(self, world: World) -> None:
        world.others = world.asks(200)
        error = deferred(world.gate(COUNTING))
        assert str(error) == "other processes make 200 requests/s on the drive"
        assert isinstance(error, BusyDriveError)
        assert world.slept == [QUIET_S, *[10.0] * 6]

    def test_a_log_that_is_synced_now_and_then_does_not(self, world: World) -> None:
        world.others = world.asks(15)
        before(world.gate(COUNTING))
        assert world.slept == [QUIET_S]
        assert world.notices == []

    def test_a_look_ends_five_seconds_after_the_last_write_of_ours(self, world: World) -> None:
        gate = world.gate(COUNTING)
        gate.wrote()
        world.clock_s += 0.5
        begun = world.clock_s

        def commit(seconds: float) -> None:
            """Our own journal is committed 2 s after the write."""
            if world.clock_s - seconds <= begun + 1.5 < world.clock_s:
                world.drive.moves(written=300 * 4096, requests=300)

        world.others = commit
        before(gate)
        assert world.slept == [2.5, QUIET_S]
        assert world.notices == []

    def test_a_deep_point_comes_right_after_a_quiet_look(self, world: World) -> None:
        gate = world.gate(COUNTING)
        before(gate)
        world.clock_s += 5.0
        before(gate, sample())
        assert world.slept == [QUIET_S]
        asyncio.run(gate.before(sample(), deep=True))
        assert world.slept == [QUIET_S, QUIET_S]

    def test_it_does_not_where_requests_are_not_counted(self, world: World) -> None:
        gate = world.gate()
        before(gate)
        world.clock_s += 5.0
        asyncio.run(gate.before(sample(), deep=True))
        assert world.slept == [LOOK_S]

    def test_a_measurement_that_shows_small_requests_of_others_is_cause_for_a_look(self, world: World) -> None:
        gate = world.gate(COUNTING)
        before(gate)
        before(gate, sample(foreign_bytes=MIB // 2))
        assert world.slept == [QUIET_S, QUIET_S]


class TestImpatience:
    def test_others_do_not_pause_it(self, world: World) -> None:
        world.others = world.moves_at(120e6)
        gate = world.gate(COUNTING, patient=False)
        before(gate)
        before(gate, TAINTED)
        assert world.slept == []

    def test_heat_does(self, world: World) -> None:
        world.warm(84)

        def cool(seconds: float) -> None:
            world.moves_at(120e6)(seconds)
            world.warm(40)

        world.others = cool
        gate = world.gate(COUNTING, patient=False)
        before(gate)
        assert gate.heat == Heat(warned=Warned(celsius=84, limit=80), pauses=1)

    def test_a_deferral_for_heat_is_none_for_others(self, world: World) -> None:
        world.warm(84)
        assert not isinstance(deferred(world.gate(COUNTING)), BusyDriveError)


class TestHeat:
    def test_it_waits_until_the_drive_has_cooled_down(self, world: World) -> None:
        world.warm(84)
        cooling = iter([78.0, 76.0, 74.0])

        def cool(seconds: float) -> None:
            if seconds > LOOK_S:
                world.warm(next(cooling))

        world.others = cool
        gate = world.gate()
        before(gate)
        assert world.notices == [f"drive at {celsius} °C, limit 80 °C" for celsius in (84, 78, 76)] + [""]
        assert gate.thermometer.peak_celsius == 84
        assert gate.heat == Heat(warned=Warned(celsius=84, limit=80), pauses=1)
        assert gate.paused_s == pytest.approx(30.25)

    def test_the_peak_is_kept_below_the_limit_too(self, world: World) -> None:
        gate = world.gate()
        for celsius in (40, 61.85, 50):
            world.warm(celsius)
            before(gate, sample())
            world.clock_s += 1
        assert gate.thermometer.peak_celsius == 61.85
        assert gate.heat == Heat()

    def test_the_drive_is_asked_once_a_second_at_most(self, world: World) -> None:
        gate = world.gate()
        before(gate)
        world.clock_s += 0.5
        world.warm(84)
        before(gate, sample())
        assert gate.thermometer.peak_celsius == 40

    def test_a_pause_at_the_configured_limit_is_no_warning_of_the_drive(self, world: World) -> None:
        world.warm(60)
        world.others = lambda _: world.warm(40)
        gate = world.gate(replace(RULES, max_celsius=55.0))
        before(gate)
        assert gate.heat == Heat(pauses=1)

    def test_a_pause_for_others_is_none_of_heat(self, world: World) -> None:
        world.others = world.moves_for(LOOK_S)
        gate = world.gate()
        before(gate)
        assert gate.paused_s > 0
        assert gate.heat == Heat()

    def test_a_drive_that_stays_hot_is_given_up_for_now(self, world: World) -> None:
        world.warm(84)
        assert str(deferred(world.gate())) == "drive at 84 °C, limit 80 °C"

    def test_a_drive_without_a_sensor_is_not_held_up(self, world: World) -> None:
        (world.drive.directory / "device/hwmon0/temp1_input").unlink()
        gate = world.gate(replace(RULES, max_celsius=30.0))
        before(gate)
        assert gate.thermometer.peak_celsius is None
        assert world.notices == []


class TestQuietHours:
    def test_it_gives_way_at_once_until_they_end(self, world: World) -> None:
        error = deferred(world.gate(replace(RULES, quiet_hours=((time(8), time(20)),))))
        assert str(error) == "quiet hours until 20:00"
        assert error.seconds == pytest.approx(8 * 3600)
        assert world.slept == []

    def test_they_may_begin_during_a_pause(self, world: World) -> None:
        world.others = world.moves_at(120e6)
        gate = world.gate(replace(RULES, quiet_hours=((time(12, 0, 20), time(13)),)))
        assert str(deferred(gate)) == "quiet hours until 13:00"
        assert gate.paused_s == pytest.approx(20)


def test_it_runs_on_the_real_clock(world: World) -> None:
    gate = Throttle(RULES, Sensors("259:0", world.host.sys, world.host.proc), notice=world.notices.append)
    before(gate)
    assert world.notices == []
    assert gate.thermometer.peak_celsius == 40
