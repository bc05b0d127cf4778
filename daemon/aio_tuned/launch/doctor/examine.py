"""The order of the checks: read the facts of the host and of each drive, and collect what the checks say."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.devices import identity, resolve, sysfs
from aio_tuned.errors import AioTunedError
from aio_tuned.launch.doctor import (
    access,
    aio_events,
    array,
    direct_io,
    drives,
    heat,
    huge_pages,
    io_limit,
    memory_lock,
    numa,
    pcie_link,
    profile_state,
    request_queue,
    ring,
)
from aio_tuned.launch.doctor.finding import HOST, Finding, Unchecked
from aio_tuned.launch.doctor.limited import MAX_S, answer
from aio_tuned.launch.doctor.need import ALL_PARAMETERS, IO_URING, make_need
from aio_tuned.profiles.files import load_trusted, profile_files
from aio_tuned.reader import DIRECTIONS, DriveSettings, defaults
from aio_tuned.reader.lookup import find_disk_profile
from aio_tuned.reader.section import drive_settings
from aio_tuned.reader.types import Disk, FoundProfile
from aio_tuned.timeouts import TooLateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aio_tuned.launch.doctor.drives import Examined
    from aio_tuned.launch.doctor.finding import Outcome
    from aio_tuned.launch.doctor.need import Need


# Of profiles whose drives are not examined only the settings count.
_NO_DISK = Disk(id="", name="", model="", serial="", size_bytes=0, node="", number="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What to examine: a consumer, or None for all, the folder of the profiles, and the roots of /sys and /proc.

    `daemon_says` returns the daemon's words on a drive, or "". `kernel_change` is that of the configuration.
    """

    consumer: str | None
    profiles: Path
    kernel_change: str = "minor"
    daemon_says: Callable[[Disk], str] = lambda _: ""
    sys: Path = sysfs.SYS
    proc: Path = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The examined drives' nodes, and what the checks said, each thing once."""

    drives: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the obstacles."""
        return tuple(each for each in self.outcomes if isinstance(each, Finding))

    @property
    def unchecked(self) -> tuple[Unchecked, ...]:
        """Return the checks that could not look."""
        return tuple(each for each in self.outcomes if isinstance(each, Unchecked))

    @property
    def costs(self) -> bool:
        """Return whether an obstacle costs throughput."""
        return any(each.costs for each in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    """A drive with its profile, or the reader's reason why it has none, and the consumer's need."""

    drive: Examined
    found: FoundProfile | None
    error: str
    settings: DriveSettings
    need: Need


def run(path: Path | None, asked: Examination) -> Report:
    """Examine the host and the drive of the path, or every NVMe drive; raise TargetError if the path has no drive."""
    ring_facts = ring.read(asked.proc)  # before any thread: it forks
    if path:
        examined = [drives.of_path(path, asked.sys, asked.proc)]
    else:
        examined = list(drives.every(_names(asked.profiles), asked.sys, asked.proc))
    patients = [_patient(drive, asked) for drive in examined]
    outcomes: list[Outcome] = []
    if not examined:
        reason = "neither an NVMe drive nor one with a profile is visible in /sys; pass a PATH, or run this on the host"
        outcomes.append(Unchecked(check="drives", subject=HOST, reason=reason))
    folder = access.read(asked.profiles)
    outcomes += access.check(folder)
    gpus = numa.read_gpus(asked.sys)
    outcomes += _host(patients, ring_facts, max(1, len(gpus)), asked)
    of_host = {each.check for each in outcomes if isinstance(each, Finding)}
    nodes = numa.read_host_nodes(asked.sys)
    for patient in patients:
        said = list(_drive(patient, gpus, nodes, asked))
        outcomes += said
        found = {each.check for each in said if isinstance(each, Finding)} | of_host
        outcomes += _profile(patient, found, asked, is_closed=bool(folder.own and folder.closed))
    once = {(type(each), each.check, each.subject): each for each in reversed(outcomes)}
    return Report(drives=tuple(each.drive.node for each in patients), outcomes=tuple(reversed(once.values())))


def _names(profiles: Path) -> frozenset[str]:
    """Return the names of the drives that have a profile; none if the folder cannot be read."""
    try:
        return frozenset(path.stem for path in profile_files(profiles))
    except OSError:
        return frozenset()


def _patient(drive: Examined, asked: Examination) -> _Patient:
    found, error = None, ""
    try:
        found = find_disk_profile(drive.disk, asked.profiles)
        settings = drive_settings(found)
    except AioTunedError as reason:
        error = str(reason)
        settings = _defaults(error)
    return _Patient(drive=drive, found=found, error=error, settings=settings, need=_need(settings, asked))


def _defaults(why: str) -> DriveSettings:
    read, write, combined = (defaults(direction, why) for direction in DIRECTIONS)
    return DriveSettings(read, write, combined)


def _need(settings: DriveSettings, asked: Examination) -> Need:
    # The need is not of a path, and "/" is one that every consumer takes.
    name = asked.consumer or ALL_PARAMETERS
    return make_need(name, settings, consumers.export_for(name, settings, "/", ExportOptions()))


def _host(patients: Sequence[_Patient], ring_facts: ring.Ring, processes: int, asked: Examination) -> Iterator[Outcome]:
    needs = [patient.need for patient in patients] or [_need(_defaults(""), asked)]
    yield from memory_lock.check(memory_lock.read(asked.proc), needs)
    yield from aio_events.check(aio_events.read(asked.proc), _all_needs(patients, asked), processes)
    named = asked.consumer
    rings = IO_URING if named is None else (named,) if any(need.engine == "io_uring" for need in needs) else ()
    yield from ring.check(ring_facts, rings)
    policy = huge_pages.read(asked.sys)
    gains = [
        gain
        for patient in patients
        if patient.found
        for gain in huge_pages.gains(patient.drive.node, patient.found.profile, policy)
    ]
    yield from huge_pages.check(policy, gains)


def _all_needs(patients: Sequence[_Patient], asked: Examination) -> list[Need]:
    """Return the needs of the examined drives and of all others that have a profile."""
    known = {patient.found.path for patient in patients if patient.found}
    needs = [patient.need for patient in patients]
    try:
        files = [path for path in profile_files(asked.profiles) if path not in known]
    except OSError:
        return needs
    for path in files:
        try:
            profile = load_trusted(path)
            needs.append(_need(drive_settings(FoundProfile(_NO_DISK, path, profile)), asked))
        except AioTunedError:
            continue  # a damaged file is a finding when its own drive is examined
    return needs


def _drive(patient: _Patient, gpus: tuple[numa.Gpu, ...], nodes: int, asked: Examination) -> Iterator[Outcome]:
    device, need, sys = patient.drive.device, patient.need, asked.sys
    disks = [(sys / "class/block" / name).resolve() for name in device.members or (device.sys_name,)]
    queues = [path for disk in disks for path in sysfs.counting(disk)]
    if device.members:
        queues.append((sys / "class/block" / device.sys_name).resolve())
    swept = patient.found.profile.fingerprint if patient.found else None
    for queue in queues:
        facts = request_queue.read(queue)
        if swept and queue.name == device.sys_name:
            facts = replace(facts, swept_nr_requests=swept.nr_requests, swept_max_sectors_kb=swept.max_sectors_kb)
        yield from request_queue.check(facts, need)
    for disk in disks:
        link = pcie_link.read(disk, sys, asked.proc)
        if link is not None:
            yield from pcie_link.check(link)
    node = device.host.numa_node
    yield from numa.check(numa.NumaNodes(name=patient.drive.node, drive_node=node, gpus=gpus, host_nodes=nodes))
    yield from array.check(array.Arrays(arrays=resolve.arrays_below(device.device_number, sys)))
    yield from _limits(patient, disks, asked)
    yield from heat.check(heat.read(patient.drive.node, device.device_number, sys, asked.proc))
    yield from _direct_io(patient.drive)


def _limits(patient: _Patient, disks: Sequence[Path], asked: Examination) -> Iterator[Outcome]:
    numbers = {patient.drive.device.device_number, *(sysfs.attribute(disk, "dev") for disk in disks)}
    limits, unseen = io_limit.read(numbers, asked.sys, asked.proc)
    facts = io_limit.IoLimits(
        node=patient.drive.node,
        limits=limits,
        read_bytes_per_s=patient.settings.read.throughput_bytes_per_s,
        write_bytes_per_s=patient.settings.write.throughput_bytes_per_s,
        unseen=unseen,
    )
    yield from io_limit.check(facts, patient.need.request_bytes)


def _direct_io(drive: Examined) -> Iterator[Outcome]:
    place, filesystem = drive.place, drive.filesystem
    if place is None:
        return
    try:
        yield from direct_io.check(answer(lambda: direct_io.read(place, filesystem)))
    except TooLateError:
        reason = f"the filesystem did not answer within {MAX_S:.0f} s"
        yield Unchecked(check=direct_io.CHECK, subject=str(place), reason=reason)


def _profile(patient: _Patient, found: set[str], asked: Examination, *, is_closed: bool) -> Iterator[Outcome]:
    """Yield what the profile lacks, unless another finding explains it."""
    drive, profile = patient.drive, patient.found.profile if patient.found else None
    if is_closed and profile is None:
        reason = f"{asked.profiles} cannot be read by this user"
        yield Unchecked(check=profile_state.CHECK, subject=drive.node, reason=reason)
        return
    changed: tuple[str, ...] = ()
    explained = False
    if profile is not None:
        release = platform.release()
        now = identity.fingerprint(drive.device, "", release)
        changed, explained = profile_state.differences(profile, now, release, asked.kernel_change, found)
    says = asked.daemon_says(drive.disk)
    yield from profile_state.check(
        profile_state.ProfileState(
            node=drive.node,
            error=patient.error,
            state=profile.state if profile else "measured",
            why=profile.evidence.findings[-1] if profile and profile.evidence.findings else "",
            changed=changed,
            explained=explained,
            daemon=says,
        )
    )
