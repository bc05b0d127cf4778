"""One run of `aio-tuned verify`, from the profile of a path to the verdict that is kept."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.verdicts import setting_text
from aio_tuned.devices import identity, space
from aio_tuned.devices.lock import check_same, lock_device
from aio_tuned.devices.probe import NO_ANSWER, PROBE_LIMIT_S, probe
from aio_tuned.devices.sensors import Sensors
from aio_tuned.errors import HelperError, MeasurementError, TargetError, UsageError
from aio_tuned.launch.verify import account, answers, keeping, sides
from aio_tuned.launch.verify.comparison import Limits, compare, watched
from aio_tuned.launch.verify.driver import START_S, Driver
from aio_tuned.launch.verify.effect import Watch
from aio_tuned.launch.verify.gate import Gate
from aio_tuned.launch.verify.sides import DIRECTIONS, NAMES
from aio_tuned.model.target import Skip
from aio_tuned.profiles import decision
from aio_tuned.reader.lookup import find_profile
from aio_tuned.reader.section import drive_settings
from aio_tuned.storage import atomic_file, layout
from aio_tuned.storage.package import Package
from aio_tuned.timeouts import TooLateError, in_thread, within

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from aio_tuned.child_process import Account
    from aio_tuned.config.load import Config
    from aio_tuned.consumers.export import Export
    from aio_tuned.devices.probe import ProbeResult
    from aio_tuned.launch.verify.comparison import Comparison
    from aio_tuned.launch.verify.effect import Effect
    from aio_tuned.launch.verify.sides import Name, Sides
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.target import Target
    from aio_tuned.model.verdict import Verdict
    from aio_tuned.reader import DriveSettings
    from aio_tuned.reader.types import FoundProfile


# A transfer may be over before anybody has looked, on a host with other load.
_LOOKS = 3
_REMOVE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to verify: a consumer in an interpreter, on the drive of a folder, within a time; `say` tells of progress.

    `profiles` is the folder of the profiles.
    """

    folder: Path
    consumer: str
    python: Path
    config: Config
    profiles: Path
    seconds: float
    dice: random.Random
    say: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The program that did the I/O: the consumer's release, or fio's as its stand-in."""

    version: str
    package: Package
    stand_in: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result: figures, what was in effect by side and direction, and the verdict.

    `kept` is the verdict's file, or None if the result is not clear enough to keep it; `note` is a finding or "".
    """

    node: Path
    release: Release
    sides: Sides
    comparison: Comparison
    effects: Mapping[tuple[Name, Direction], Effect]
    verdict: Verdict
    kept: Path | None = None
    note: str = ""


async def verify(request: Request) -> Outcome:
    """Compare the exported settings with the consumer's default; keep the verdict, and publish it in the profile.

    Raise AioTunedError if that is not possible.
    """
    if not request.folder.is_dir():
        raise TargetError(f"{request.folder}: not a folder; pass a folder on the drive's filesystem")
    found = find_profile(request.folder, request.profiles)
    state = request.config.state
    atomic_file.make_folder(layout.verdicts_file(state, found.profile.device.name).parent)
    as_user = account.choose(request.python, request.folder, os.geteuid())
    async with AsyncExitStack() as stack:
        request.say(f"starting {request.consumer} in {request.python}")
        crew = _Crew(
            request=request,
            account=as_user,
            environment=_without_settings(account.environment(as_user, request.python)),
            stack=stack,
        )
        first, release = await crew.first()
        # What a killed run has left may take the space that this one needs.
        await first.ask("clean", path=str(request.folder))
        filesystem = request.folder.stat().st_dev
        place, target = await _place(request)
        _check_fresh(request, found, place, target)
        stack.enter_context(lock_device(place.device))
        before = space.read(place.number) if target.trim else {}
        outcome = await _compared(crew, first, release, drive_settings(found), place, target, filesystem)
        check_same(place.device)
    if target.trim:
        after = space.read(place.number)
        note = space.finding(before, after, outcome.sides.transfer_bytes, target.path)
        outcome = replace(outcome, note=note)
    if outcome.comparison.decided:
        kept = keeping.keep(outcome.verdict, outcome.release.package, found, state)
        outcome = replace(outcome, kept=kept)
    return outcome


async def _place(request: Request) -> tuple[ProbeResult, Target]:
    """Return the facts of the drive and the place of the files; raise TargetError if none may be written there."""
    try:
        found = await within(PROBE_LIMIT_S, in_thread(lambda: probe(request.folder, request.config)))
    except TooLateError:
        raise MeasurementError(f"{request.folder}: {NO_ANSWER}") from None
    target = found.decision
    if isinstance(target, Skip):
        raise TargetError(f"{request.folder}: {target.reason}")
    if target.kind != "scratch" or target.no_write:
        raise TargetError(f"{request.folder}: no file may be written: {target.no_write}")
    return found, target


def _check_fresh(request: Request, found: FoundProfile, place: ProbeResult, target: Target) -> None:
    """Raise TargetError if the drive has changed since its profile was measured: no verdict on it would hold."""
    release = os.uname().release
    now = identity.fingerprint(place.device, target.filesystem, release)
    changed: tuple[str, ...] = ("the profile is stale",) if found.profile.state == "stale" else ()
    if found.profile.evidence.measured_at is not None:
        changed = changed or decision.differences(found.profile, now, release, request.config.kernel_change)
    if changed:
        raise TargetError(f"{found.path}: {', '.join(changed)}; run aio-tuned tune {request.folder} first")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crew:
    """What the drivers of one run have in common; they end with the stack."""

    request: Request
    account: Account | None
    environment: Mapping[str, str]
    stack: AsyncExitStack

    async def start(self, consumer: str, variables: Mapping[str, str] = MappingProxyType({})) -> Driver:
        """Start a driver, with further variables in its environment."""
        root = self.account is None and os.geteuid() == 0
        environment = {**self.environment, **variables}
        driver = await Driver.start(self.request.python, consumer, environment, self.account, root=root)
        return await self.stack.enter_async_context(driver)

    async def first(self) -> tuple[Driver, Release]:
        """Return the driver of the default side and its release; that of fio if the interpreter lacks the consumer.

        Raise TargetError without fio too.
        """
        wanted, python, say = self.request.consumer, self.request.python, self.request.say
        for consumer in dict.fromkeys((wanted, "fio")):
            driver = await self.start(consumer)
            said = await driver.ask("hello", limit_s=START_S)
            if "missing" not in said:
                stand_in = consumer != wanted
                if stand_in:
                    say(f"{wanted}: not in {python}; fio stands in, with the same requests")
                version, file = answers.release(said)
                return driver, Release(version=version, package=Package.at(file), stand_in=stand_in)
        missing = wanted if wanted == "fio" else f"neither {wanted} nor fio"
        raise TargetError(f"{missing}: not found with {python}; pass --python INTERPRETER, or install fio")


async def _compared(
    crew: _Crew,
    first: Driver,
    release: Release,
    drive: DriveSettings,
    place: ProbeResult,
    target: Target,
    filesystem: int,
) -> Outcome:
    request = crew.request
    gate = Gate(request.config, place.device, request.say)
    made = _export(request.consumer, drive, request.folder, release)
    pair = sides.make(request.consumer, made, target.span_bytes, stand_in=release.stand_in)
    gate.allow(pair.transfer_bytes)
    answer = await first.ask("make", path=str(request.folder))
    crew.stack.push_async_callback(_remove, crew, first)
    folder = answers.folder(answer, filesystem)
    # Started after the folder was made, so that it has ended before the folder is removed.
    second = await crew.start(pair.driver, pair.ours.environment)
    movers = dict(zip(NAMES, (first, second), strict=True))
    if pair.filled:
        gate.writes(pair.transfer_bytes)
        await first.ask("fill", folder=folder, size=pair.transfer_bytes)
    effects = {}
    in_flight = Sensors(place.device.device_number).in_flight
    for name, mover in movers.items():
        values = pair.side(name).values
        said = await mover.ask("configure", limit_s=START_S, folder=folder, size=pair.transfer_bytes, values=values)
        watch = Watch(mover.pid, Path(folder), in_flight, answers.count_before(said))
        for direction in reversed(DIRECTIONS):  # LMCache reads what it has written
            for _ in range(_LOOKS):
                await gate.before()
                if direction == "write":
                    gate.writes(pair.transfer_bytes)
                effects[name, direction] = await watched(mover, watch, direction)
                if effects[name, direction].complete:
                    break
    request.say("comparing")
    limits = Limits(seconds=request.seconds, write_bytes=gate.left_bytes)
    found = await compare(movers, pair, limits, before=gate.before, writes=gate.writes, dice=request.dice)
    verdict = keeping.make_verdict(request.consumer, release.version, setting_text(made), found)
    return Outcome(
        node=place.device.node, release=release, sides=pair, comparison=found, effects=effects, verdict=verdict
    )


async def _remove(crew: _Crew, driver: Driver) -> None:
    """Have the folder removed, by another driver if that one has ended or is busy, as while it builds an operator."""
    try:
        await driver.ask("remove", limit_s=_REMOVE_S)
    except HelperError:
        await driver.end(0)
        # What is left even then, the next run removes.
        with suppress(HelperError):
            other = await crew.start("fio")
            await other.ask("clean", path=str(crew.request.folder))


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the settings of consumers that are compared."""
    ours = ("KVIKIO_NTHREADS", "KVIKIO_TASK_SIZE", "KVIKIO_BOUNCE_BUFFER_SIZE", "KVIKIO_AUTO_DIRECT_IO_", "LMCACHE_")
    return {name: value for name, value in environment.items() if not name.startswith(ours)}


def _export(consumer: str, drive: DriveSettings, folder: Path, release: Release) -> Export:
    """Return the settings for the consumer's release, whatever an earlier verdict says."""
    options = ExportOptions(for_version=None if release.stand_in or consumer == "fio" else release.version)
    export = consumers.load(consumer).export
    try:
        return export(drive, str(folder), options)
    except UsageError:
        if options.for_version is None:
            raise
        return export(drive, str(folder), ExportOptions())  # a release that is not written like one


def interpreter(given: str | None) -> Path:
    """Return the interpreter's absolute path: the given one, or python3 of this environment."""
    found = shutil.which(given or "python3")
    if given is not None and (found is None or not _is_program(found)):
        wrong = "not found or not executable" if found is None else "a script, whose interpreter is not known"
        raise UsageError(f"{given}: {wrong}; correct --python")
    path = Path(found if found is not None and _is_program(found) else sys.executable)
    # The name may be a link, which the interpreter needs to find its virtual environment.
    return path.parent.resolve() / path.name


def _is_program(path: str) -> bool:
    """Return whether the file is a program of its own: what a script runs cannot be checked."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False
