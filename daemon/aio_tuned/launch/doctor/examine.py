"""The whole examination: find the drives, look at the host and at each drive, and report."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from aio_tuned.errors import TargetError
from aio_tuned.launch.doctor import access, drives, numa, of_drive, of_host, ring
from aio_tuned.launch.doctor.examination import MAX_S, admit, look
from aio_tuned.launch.doctor.finding import HOST, Finding, Unchecked
from aio_tuned.launch.doctor.report import Report, once
from aio_tuned.profiles.files import profile_files
from aio_tuned.timeouts import TooLateError, answer

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.launch.doctor.drives import Examined
    from aio_tuned.launch.doctor.examination import Examination
    from aio_tuned.launch.doctor.finding import Outcome


def run(path: Path | None, asked: Examination) -> Report:
    """Examine the host and the drive of the path, or every NVMe drive; raise TargetError if the path has no drive."""
    try:
        ring_facts = ring.read(asked.proc)  # before any thread: it forks
    except OSError as error:
        ring_facts = ring.Ring(error=error.errno or errno.EAGAIN)
    examined = [_of_path(path, asked)] if path else list(drives.every(_names(asked.profiles), asked.sys, asked.proc))
    patients = [admit(drive, asked) for drive in examined]
    outcomes: list[Outcome] = []
    if not examined:
        reason = "neither an NVMe drive nor one with a profile is visible in /sys; pass a PATH, or run this on the host"
        outcomes.append(Unchecked(check="drives", subject=HOST, reason=reason))
    folder = access.read(asked.profiles)
    if folder.missing and not examined:  # the finding on the profile of a drive tells it, too
        reason = "no such folder; mount the host's folder of profiles there, or pass --profiles"
        outcomes.append(Unchecked(check=access.CHECK, subject=folder.folder, reason=reason))
    gpus = numa.read_gpus(asked.sys)
    outcomes += look(access.CHECK, str(asked.profiles), lambda: access.check(folder))
    outcomes += of_host.examine(patients, max(1, len(gpus)), ring_facts, asked)
    around = of_drive.Surroundings(
        gpus=gpus,
        numa_nodes=numa.read_host_nodes(asked.sys),
        found=frozenset(each.check for each in outcomes if isinstance(each, Finding)),
        closed=bool(folder.own and folder.closed),
    )
    for patient in patients:
        outcomes += of_drive.examine(patient, around, asked)
    return Report(drives=tuple(each.node for each in examined), outcomes=once(outcomes))


def _of_path(path: Path, asked: Examination) -> Examined:
    try:
        return answer(lambda: drives.of_path(path, asked.sys, asked.proc), MAX_S)
    except TooLateError:
        raise TargetError(f"{path}: no answer within {MAX_S:.0f} s; check its filesystem and its drive") from None


def _names(profiles: Path) -> frozenset[str]:
    """Return the names of the drives that have a profile; none if the folder cannot be read."""
    try:
        return frozenset(path.stem for path in profile_files(profiles))
    except OSError:
        return frozenset()
