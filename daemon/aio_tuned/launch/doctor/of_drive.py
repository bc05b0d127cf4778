"""The checks of one drive, from its request queue to its profile."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from aio_tuned.devices import identity, resolve, sysfs
from aio_tuned.launch.doctor import (
    array,
    direct_io,
    heat,
    io_limit,
    numa,
    pcie_link,
    profile_state,
    request_queue,
)
from aio_tuned.launch.doctor.examination import MAX_S, look
from aio_tuned.launch.doctor.finding import Finding, Unchecked
from aio_tuned.timeouts import answer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from aio_tuned.launch.doctor.examination import Examination, Patient
    from aio_tuned.launch.doctor.finding import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the host has around its drives: GPUs, NUMA nodes, and the checks of the host that have a finding.

    `closed` is whether this process cannot read the profiles.
    """

    gpus: tuple[numa.Gpu, ...]
    numa_nodes: int
    found: frozenset[str]
    closed: bool


def examine(patient: Patient, around: Surroundings, asked: Examination) -> Iterator[Outcome]:
    """Yield what stands in the way of one drive."""
    said = [*_hardware(patient, around, asked), *_use(patient, asked)]
    yield from said
    found = around.found | {each.check for each in said if isinstance(each, Finding)}
    yield from _profile(patient, found, asked, is_closed=around.closed)


def _hardware(patient: Patient, around: Surroundings, asked: Examination) -> Iterator[Outcome]:
    device, node, sys, proc = patient.drive.device, patient.drive.node, asked.sys, asked.proc
    disks = _disks(patient, sys)
    places = [
        *(path for disk in disks for path in sysfs.counting(disk)),
        *([_directory(patient, sys)] if device.members else []),
    ]
    for place in places:
        yield from look(request_queue.MAX_SECTORS, place.name, partial(_queue, place, patient))
    for disk in disks:
        yield from look(pcie_link.CHECK, disk.name, partial(_link, disk, sys, proc))
    nodes = numa.NumaNodes(name=node, drive_node=device.host.numa_node, gpus=around.gpus, host_nodes=around.numa_nodes)
    yield from numa.check(nodes)
    number = device.device_number
    yield from look(array.CHECK, node, lambda: array.check(resolve.arrays_below(number, sys)))
    yield from look(heat.CHECK, node, lambda: heat.check(answer(lambda: heat.read(node, number, sys, proc), MAX_S)))


def _use(patient: Patient, asked: Examination) -> Iterator[Outcome]:
    place, filesystem = patient.drive.place, patient.drive.filesystem
    yield from look(io_limit.CHECK, patient.drive.node, lambda: _limits(patient, asked))
    if place is not None:
        yield from look(
            direct_io.CHECK,
            str(place),
            lambda: direct_io.check(answer(lambda: direct_io.read(place, filesystem), MAX_S)),
        )


def _directory(patient: Patient, sys: Path) -> Path:
    return (sys / "class/block" / patient.drive.device.sys_name).resolve()


def _disks(patient: Patient, sys: Path) -> list[Path]:
    """Return the directories of the disks below a volume, or of the disk itself."""
    members = [(sys / "class/block" / name).resolve() for name in patient.drive.device.members]
    return members or [_directory(patient, sys)]


def _queue(place: Path, patient: Patient) -> Iterable[Outcome]:
    facts = request_queue.read(place)
    if patient.found and place.name == patient.drive.device.sys_name:
        swept = patient.found.profile.fingerprint
        facts = replace(facts, swept_nr_requests=swept.nr_requests, swept_max_sectors_kb=swept.max_sectors_kb)
    return request_queue.check(facts, patient.need)


def _link(disk: Path, sys: Path, proc: Path) -> Iterable[Outcome]:
    facts = pcie_link.read(disk, sys, proc)
    return pcie_link.check(facts) if facts else ()


def _limits(patient: Patient, asked: Examination) -> Iterable[Outcome]:
    disks = _disks(patient, asked.sys)
    numbers = {patient.drive.device.device_number, *(sysfs.attribute(disk, "dev") for disk in disks)}
    limits, unseen = io_limit.read(numbers, asked.sys, asked.proc)
    facts = io_limit.IoLimits(
        node=patient.drive.node,
        limits=limits,
        read_bytes_per_s=patient.settings.read.throughput_bytes_per_s,
        write_bytes_per_s=patient.settings.write.throughput_bytes_per_s,
        unseen=unseen,
    )
    return io_limit.check(facts, patient.need.request_bytes)


def _profile(patient: Patient, found: Collection[str], asked: Examination, *, is_closed: bool) -> Iterator[Outcome]:
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
    yield from profile_state.check(
        profile_state.ProfileState(
            node=drive.node,
            error=patient.error,
            state=profile.state if profile else "measured",
            why=profile.evidence.findings[-1] if profile and profile.evidence.findings else "",
            changed=changed,
            explained=explained,
            daemon=asked.daemon_says(drive.disk),
        )
    )
