"""The checks of the host and of this process, whose obstacles concern all drives."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from aio_tuned.devices import host
from aio_tuned.errors import AioTunedError
from aio_tuned.launch.doctor import aio_events, huge_pages, memory_lock, ring
from aio_tuned.launch.doctor.examination import look
from aio_tuned.launch.doctor.finding import HOST
from aio_tuned.launch.doctor.need import IO_URING
from aio_tuned.profiles.files import load_trusted, profile_files
from aio_tuned.reader.api import drive_defaults
from aio_tuned.reader.section import drive_settings
from aio_tuned.reader.types import Disk, FoundProfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aio_tuned.launch.doctor.examination import Examination, Patient
    from aio_tuned.launch.doctor.finding import Outcome
    from aio_tuned.launch.doctor.need import Need

# Of profiles whose drives are not examined only the settings count.
_NO_DISK = Disk(id="", name="", model="", serial="", size_bytes=0, node="", number="")


def examine(
    patients: Sequence[Patient], processes: int, ring_facts: ring.Ring, asked: Examination
) -> Iterator[Outcome]:
    """Yield what stands in the way of all drives; `processes` are those of the consumer on this host."""
    needs = [patient.need for patient in patients] or [asked.need(drive_defaults())]

    def memory() -> Iterable[Outcome]:
        return memory_lock.check(memory_lock.read(asked.proc), needs)

    def events() -> Iterable[Outcome]:
        every = [*needs, *_other_needs(patients, asked)]
        return aio_events.check(aio_events.read(asked.proc), every, processes)

    def pages() -> Iterable[Outcome]:
        policy = host.thp(asked.sys)
        known = [(patient.drive.node, patient.found.profile) for patient in patients if patient.found]
        return huge_pages.check(
            policy,
            [gain for node, profile in known for gain in huge_pages.gains(node, profile, policy)],
            page_bytes=mmap.PAGESIZE,
            thp_bytes=host.thp_bytes(asked.sys),
        )

    yield from look(memory_lock.CHECK, HOST, memory)
    yield from look(aio_events.CHECK, HOST, events)
    yield from ring.check(ring_facts, _ring_users(needs, asked))
    yield from look(huge_pages.CHECK, HOST, pages)


def _ring_users(needs: Iterable[Need], asked: Examination) -> tuple[str, ...]:
    """Return the consumers of io_uring that are meant."""
    if asked.consumer is None:
        return IO_URING
    return (asked.consumer,) if any(need.engine == "io_uring" for need in needs) else ()


def _other_needs(patients: Iterable[Patient], asked: Examination) -> Iterator[Need]:
    """Yield the needs of the drives that have a profile and are not examined."""
    known = {patient.found.path for patient in patients if patient.found}
    try:
        files = [path for path in profile_files(asked.profiles) if path not in known]
    except OSError:
        return  # the folder is missing or closed, which is a finding of its own
    for path in files:
        try:
            profile = load_trusted(path)
            yield asked.need(drive_settings(FoundProfile(_NO_DISK, path, profile)))
        except AioTunedError:
            continue  # a damaged file is a finding when its own drive is examined
