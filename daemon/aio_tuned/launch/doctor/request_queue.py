"""The block layer's request queues of a drive: scheduler, nomerges, nr_requests and max_sectors_kb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.devices import sysfs
from aio_tuned.launch.doctor.finding import Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aio_tuned.launch.doctor.need import Need

SCHEDULER, NOMERGES, NR_REQUESTS, MAX_SECTORS = "scheduler", "nomerges", "nr_requests", "max_sectors_kb"
# One bio holds 256 pages (BIO_MAX_VECS); larger blocks are several, which only merging joins again.
_BIO_KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestQueue:
    """The queue of one disk, volume or hidden path; 0 or "" is unknown.

    `tags` is the depth of the drive's own queues, `hardware_queues` their number (0 for volumes, which have none).
    `schedulable` is whether the block device is NVMe, for which the kernel's own choice is no scheduler. The two values
    `swept` are those of the sweep that the settings come from, which a remedy restores.
    """

    name: str
    schedulable: bool
    scheduler: str = ""
    nomerges: int = 0
    nr_requests: int = 0
    tags: int = 0
    hardware_queues: int = 0
    max_sectors_kb: int = 0
    max_hw_sectors_kb: int = 0
    swept_nr_requests: int = 0
    swept_max_sectors_kb: int = 0


def read(disk: Path) -> RequestQueue:
    """Return the queue of the block device with that directory in /sys."""
    queue = disk / "queue"
    contexts = [name for name in sysfs.names(disk / "mq") if name.isdecimal()]
    return RequestQueue(
        name=disk.name,
        schedulable=disk.name.startswith("nvme"),
        scheduler=sysfs.selected(sysfs.attribute(queue, "scheduler")),
        nomerges=_number(queue, "nomerges"),
        nr_requests=_number(queue, "nr_requests"),
        tags=min((_number(disk / "mq" / name, "nr_tags") for name in contexts), default=0),
        hardware_queues=len(contexts),
        max_sectors_kb=_number(queue, "max_sectors_kb"),
        max_hw_sectors_kb=_number(queue, "max_hw_sectors_kb"),
    )


def _number(folder: Path, name: str) -> int:
    text = sysfs.attribute(folder, name)
    return int(text) if text.isdecimal() else 0


def check(facts: RequestQueue, need: Need) -> Iterator[Outcome]:
    """Report what is set on the queue and hinders the need."""
    if not facts.max_sectors_kb:
        yield Unchecked(check=MAX_SECTORS, subject=facts.name, reason="its queue is not visible in /sys")
        return
    has_scheduler = facts.schedulable and facts.scheduler not in ("", "none")
    if has_scheduler:
        yield _finding(
            facts,
            SCHEDULER,
            f"the I/O scheduler is {facts.scheduler}, which sorts requests behind a lock; an NVMe drive needs none",
            "none",
        )
    yield from _merging(facts, need)
    yield from _size(facts, need)
    if not has_scheduler:  # with another scheduler the kernel sets nr_requests again
        yield from _depth(facts, need)


def _merging(facts: RequestQueue, need: Need) -> Iterator[Finding]:
    if not facts.nomerges or not facts.hardware_queues:  # a volume passes its requests on as they come
        return
    costs = need.request_bytes > _BIO_KIB << 10
    effect = "small neighbouring requests through the page cache are not joined"
    if costs:
        effect = f"blocks of {_size_of(need)} reach the drive in parts of 1 MiB or less"
    yield _finding(facts, NOMERGES, f"nomerges is {facts.nomerges}, so {effect}", "0", costs=costs)


def _size(facts: RequestQueue, need: Need) -> Iterator[Finding]:
    largest = facts.max_hw_sectors_kb or facts.max_sectors_kb
    possible = min(largest, -(-need.request_bytes // 1024))
    if facts.max_sectors_kb < possible:
        yield _finding(
            facts,
            MAX_SECTORS,
            f"max_sectors_kb is {facts.max_sectors_kb}, below blocks of {_size_of(need)}, each of which is split",
            str(min(largest, max(possible, facts.swept_max_sectors_kb))),
        )


def _depth(facts: RequestQueue, need: Need) -> Iterator[Finding]:
    """Report fewer requests than one hardware queue gets from its share of the threads."""
    if not facts.hardware_queues or not facts.nr_requests:
        return
    pieces = -(-need.request_bytes // (facts.max_sectors_kb << 10))
    wanted = -(-need.threads // facts.hardware_queues) * need.queue_depth * pieces
    most = facts.tags or facts.nr_requests
    possible = min(most, wanted)
    if facts.nr_requests < possible:
        yield _finding(
            facts,
            NR_REQUESTS,
            f"nr_requests is {facts.nr_requests}, but the settings keep {wanted} requests of"
            f" {formatting.amount(min(need.request_bytes, facts.max_sectors_kb << 10))} in flight in a queue",
            str(min(most, max(possible, facts.swept_nr_requests))),
        )


def _finding(facts: RequestQueue, name: str, problem: str, value: str, *, costs: bool = True) -> Finding:
    remedy = f"echo {value} > /sys/class/block/{facts.name}/queue/{name}"
    return Finding(check=name, subject=facts.name, problem=problem, remedy=remedy, costs=costs)


def _size_of(need: Need) -> str:
    return formatting.amount(need.request_bytes)
