"""Whole tunes of the folder that the tests write to, by the stand-in helper; and the lock that a tune holds."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.load import Config
from aio_tuned.devices.lock import lock_device
from aio_tuned.devices.probe import probe
from aio_tuned.errors import BusyError, DeferredError, TargetError, UsageError
from aio_tuned.model.profile import Result
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.model.target import Skip, Target
from aio_tuned.model.temperature import Heat, Warned
from aio_tuned.profiles.kept_settings import KeptSettings
from aio_tuned.report.terminal.progress import Quiet
from aio_tuned.sweep.observer import NullObserver
from aio_tuned.sweep.planning import make_order
from aio_tuned.sweep.request import TuneRequest
from aio_tuned.sweep.tune import TuneResult, _locked, run
from unit.support.builders import (
    FAKE_HELPER,
    GIB,
    MIB,
    PROJECT,
    SMALL_GRID,
    UNKILLABLE_HELPER,
    device,
    device_info,
    profile,
    result,
    scratch_target,
    setting,
)
from unit.support.host_disk import known_disk
from unit.sweep.test_resume import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.model.device import Device
    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.model.setting import Direction, Setting
    from aio_tuned.sweep.observer import SweepObserver

CONFIG = Config(grid=SMALL_GRID, time_budget=20.0)
# What the link of any drive can carry: a tune of a real one with more is refused.
SLOW = json.dumps({"read_bytes_per_s": 0.9e9, "write_bytes_per_s": 0.6e9})


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TuneRequest:
    """A tune of a folder; with the stand-in nothing is written there."""
    monkeypatch.setenv("FAKE_AIO_SWEEP", SLOW)
    try:
        found = probe(tmp_path, CONFIG)
    except TargetError as error:
        pytest.skip(f"{tmp_path} cannot be tuned: {error}")
    if isinstance(found.decision, Skip) or not found.device.node.exists():
        pytest.skip(f"{tmp_path} cannot be tuned: {found.decision}")
    return TuneRequest(target=tmp_path, config=CONFIG, seed=7, helper=FAKE_HELPER)


def tuned(task: TuneRequest, observer: SweepObserver = NullObserver()) -> TuneResult:  # noqa: B008 - it has no state
    """The tune; again while another test run holds the lock on the same disk."""
    end = time.monotonic() + 30
    while True:
        try:
            return asyncio.run(run(task, Quiet(), observer))
        except BusyError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


# --- what is measured ------------------------------------------------------------------------------------


def test_a_tune_measures_the_whole_grid_both_ways(task: TuneRequest) -> None:
    measured = tuned(task)
    assert [curve.planned for curve in measured.report.curves] == [16, 16]
    assert measured.report.profile.state == "measured"
    assert measured.report.profile.device.name == measured.device.name
    lines = [json.loads(line) for line in measured.samples_text.splitlines()]
    assert [line["request"]["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) == measured.report.profile.evidence.visits


def test_a_check_measures_the_settings_that_it_is_given(task: TuneRequest) -> None:
    few: dict[Direction, tuple[Setting, ...]] = {
        "read": (setting(depth=4), setting(depth=8)),
        "write": (setting(depth=8), setting(depth=2, threads=3)),
    }
    read, write = (result(setting=chosen[0], challengers=()) for chosen in few.values())
    sibling = profile(device=device_info(name="nvme-sibling"), read=read, write=write)
    measured = tuned(replace(task, settings=few, against=sibling))
    assert [curve.planned for curve in measured.report.curves] == [2, 2]
    evidence = measured.report.profile.evidence
    assert (measured.report.profile.state, evidence.checked_against) == ("measured", "nvme-sibling")
    (finding,) = (finding for finding in evidence.findings if finding.startswith("checked against"))
    assert finding.startswith("checked against nvme-sibling; measured 4 of the grid's ")
    asked = {sample.request.setting for sample in measured.outcome.samples if sample.request.purpose == "repeat"}
    assert asked == {*few["read"], *few["write"]}
    for direction, part in measured.report.profile.sections():
        assert isinstance(part, Result)
        # The stand-in is as fast with each: the default is published where it was measured no slower.
        assert part.setting in (few[direction][0], DEFAULT_SETTING)
        assert part.kept_from == ("nvme-sibling" if part.setting == few[direction][0] else None)


def test_a_check_of_reads_alone_measures_no_writes(task: TuneRequest) -> None:
    measured = tuned(replace(task, settings={"read": (setting(),)}))
    assert [curve.direction for curve in measured.report.curves] == ["read"]


def test_a_check_of_what_must_not_be_measured_is_refused(task: TuneRequest) -> None:
    with pytest.raises(TargetError, match=r"nothing to measure: --read-only"):
        tuned(replace(task, read_only=True, settings={"write": (setting(),)}))


def test_another_disk_than_the_one_that_was_meant_is_left_alone(task: TuneRequest) -> None:
    disk = probe(task.target, CONFIG).device
    with pytest.raises(TargetError, match="replaced by another drive"):
        tuned(replace(task, diskseq=(disk.diskseq or 0) + 1, helper=Path("/no/helper")))
    if disk.diskseq is not None:
        assert tuned(replace(task, diskseq=disk.diskseq)).device == disk


def test_a_cap_on_what_may_be_written_is_held_to_before_anything_is_written(task: TuneRequest) -> None:
    with pytest.raises(UsageError, match="write budget of 1 GiB: too small"):
        tuned(replace(task, write_budget_bytes=GIB, helper=Path("/no/helper")))


def test_a_resumable_tune_keeps_back_what_a_second_scratch_file_takes(task: TuneRequest) -> None:
    needed_mib = []
    for resumable in (False, True):
        with pytest.raises(UsageError) as caught:
            tuned(replace(task, write_budget_bytes=GIB, resumable=resumable, helper=Path("/no/helper")))
        needed_mib.append(int(str(caught.value).partition("--write-budget ")[2].partition("M")[0]))
    decision = probe(task.target, CONFIG).decision
    assert isinstance(decision, Target)
    assert needed_mib[1] - needed_mib[0] == decision.span_bytes >> 20


# --- who attends -----------------------------------------------------------------------------------------


class Nurse(NullObserver):
    peak_celsius = 71.0
    heat = Heat(warned=Warned(celsius=71.0, limit=70.0), pauses=1)
    paused_s = 12.5


def test_what_the_attendant_saw_is_evidence(task: TuneRequest) -> None:
    evidence = tuned(task, Nurse()).report.profile.evidence
    assert (evidence.temperature_peak_c, evidence.paused_seconds, evidence.resumed) == (71.0, 12.5, None)
    (heat,) = (finding for finding in evidence.findings if "°C" in finding)
    assert heat.startswith(
        "temperature: the drive reached 71 °C (warning threshold 70 °C) and the sweep paused once because of heat;"
    )


def test_a_tune_that_gives_way_goes_on_from_its_record(task: TuneRequest) -> None:
    task = replace(task, resumable=True)
    lines: list[str] = []
    begun = round(time.time(), 3)
    first = Recorder(lines, visits=20)
    with pytest.raises(DeferredError, match="others need the drive"):
        tuned(task, first)
    gave_way = round(time.time(), 3)
    assert tuned(replace(task, seed=8), Recorder(list(lines))).outcome.resumed == 0
    measured = tuned(task, second := Recorder(lines))
    assert measured.outcome.samples == (*first.made, *second.made)
    assert len(first.made) == 20
    # When and how warm it was is the first process's for what that has measured.
    assert {one.celsius for one in measured.outcome.samples} == {41.5}
    times = [one.at_s for one in measured.outcome.samples if one.at_s is not None]
    assert begun <= times[0] <= times[19] <= gave_way <= times[20] <= times[-1] <= time.time() + 0.001
    assert times == sorted(times)
    assert len(times) == len(measured.outcome.samples)
    assert measured.report.profile.state == "measured"
    assert measured.report.profile.evidence.resumed == 1
    assert "resumed once after an interruption; measured by 2 processes" in measured.report.profile.evidence.findings


class Slow(NullObserver):
    def __init__(self) -> None:
        self.waiting = asyncio.Event()

    async def before(self, request: Request, previous: Sample | None) -> None:  # noqa: ARG002 - as SweepObserver
        self.waiting.set()
        await asyncio.sleep(60)


@pytest.mark.parametrize("changes", [{"size_bytes": GIB}, {"boot_id": "b2"}])
def test_a_checkpoint_is_not_another_drives_with_the_same_id(task: TuneRequest, changes: dict[str, Any]) -> None:
    ours = device(id="block:nvme0n1", boot_id="b1")
    about = [
        make_order(task, drive, scratch_target(), KeptSettings()).about for drive in (ours, replace(ours, **changes))
    ]
    assert about[0] != about[1]


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({}, True),
        ({"spare_bytes": 2 * 256 * MIB}, True),
        ({"spare_bytes": 2 * 256 * MIB - 1}, False),
        ({"trim": True}, False),
        ({"kind": "device", "spare_bytes": 0}, False),
    ],
)
def test_new_files_are_written_only_where_they_leave_room(
    task: TuneRequest, changes: dict[str, Any], *, written: bool
) -> None:
    """A helper that finds too little space ends the sweep, whose choice is known by then."""
    request = replace(task, config=Config())
    assert make_order(request, device(), scratch_target(**changes), KeptSettings()).new_files is written


def test_a_tune_can_be_cancelled_while_it_waits(task: TuneRequest) -> None:
    async def work() -> float:
        observer = Slow()
        tuning = asyncio.ensure_future(run(task, Quiet(), observer))
        waiting = asyncio.ensure_future(observer.waiting.wait())
        await asyncio.wait({tuning, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if tuning.done():
            tuning.result()
        began = time.monotonic()
        tuning.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tuning
        return time.monotonic() - began

    end = time.monotonic() + 30
    while True:
        try:
            assert asyncio.run(work()) < 3
            break
        except BusyError:
            assert time.monotonic() < end


STUCK = """
import asyncio, sys
from pathlib import Path
from aio_tuned.config.load import Config
from aio_tuned.errors import AioTunedError
from aio_tuned.report.terminal.progress import Quiet
from aio_tuned.sweep.request import TuneRequest
from aio_tuned.sweep.tune import run

helper, target = map(Path, sys.argv[1:])
task = TuneRequest(target=target, config=Config(), seed=1, helper=helper, read_only=True, grace_s=0.6)
try:
    asyncio.run(run(task, Quiet()))
except AioTunedError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_helper_that_cannot_be_ended_is_named_so_and_left(task: TuneRequest) -> None:
    tracer = task.target / "tracer"

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", STUCK, UNKILLABLE_HELPER, task.target],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(PROJECT / "daemon"), "TRACER_FILE": str(tracer)},
            timeout=30,
        )

    end = time.monotonic() + 30
    while (done := start()).returncode == BusyError.exit_code and time.monotonic() < end:
        time.sleep(0.2)
    os.kill(int(tracer.read_text()), signal.SIGKILL)
    if "exited with code 77" in done.stdout:
        pytest.skip("tracing is not allowed here")
    assert "aio-sweep: invalid message" in done.stdout
    assert done.stdout.endswith("stuck in the kernel (D state) until the drive responds or the machine restarts\n")
    assert done.returncode == 74


# --- the lock --------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Device:
    """A device whose node is a plain file; the kernel is asked for the number of a real one."""
    known = known_disk()
    if not known:
        pytest.skip("there is no block device here")
    node = tmp_path / "node"
    node.touch()
    return device(node=node, **known)


@pytest.fixture
def other(disk: Device) -> Iterator[int]:
    """Somebody else's descriptor of the node."""
    descriptor = os.open(disk.node, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


@pytest.mark.parametrize("ending", [None, RuntimeError("x"), asyncio.CancelledError()], ids=repr)
def test_the_lock_is_held_and_given_back_however_it_ends(
    disk: Device, other: int, ending: BaseException | None
) -> None:
    async def work() -> None:
        async with _locked(disk):
            assert not is_free(other)
            if ending:
                raise ending

    with contextlib.suppress(RuntimeError, asyncio.CancelledError):
        asyncio.run(work())
    assert is_free(other)


def test_a_lock_that_somebody_else_holds_is_an_error(disk: Device, other: int) -> None:
    async def work() -> None:
        async with _locked(disk):
            pass

    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(BusyError, match="locked by "):
        asyncio.run(work())


def test_a_lock_that_nobody_waits_for_any_more_is_given_back(
    disk: Device, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while the thread tries to get it; the thread gets it later, and must not keep it."""
    tries, may_get, gave_back = (threading.Event() for _ in range(3))

    @contextlib.contextmanager
    def slow_lock(device: Device, *, itself: bool) -> Iterator[None]:
        tries.set()
        assert may_get.wait(60)
        with lock_device(device, itself=itself):
            yield
        gave_back.set()

    async def work() -> None:
        async with _locked(disk):
            pass

    async def cancelled() -> bool:
        waiting = asyncio.ensure_future(work())
        assert await asyncio.to_thread(tries.wait, 60)
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=60)
        may_get.set()
        return bool(done)

    monkeypatch.setattr("aio_tuned.sweep.tune.lock_device", slow_lock)
    assert asyncio.run(cancelled()), "it waits for the thread"
    assert gave_back.wait(60)
    assert is_free(other)
