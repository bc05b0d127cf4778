"""Findings of a sweep: sentences for the operator on what limits a drive or looks wrong with it.

A finding reads `<subject>: <measurement>; <effect on the profile>; <action>`. The subject is a direction or a part of
the drive; the metrics count findings by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.devices import pcie
from aio_tuned.errors import MeasurementError
from aio_tuned.model.profile import Result
from aio_tuned.model.temperature import Heat
from aio_tuned.profiles.siblings import apart, find_siblings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aio_tuned.devices.pcie import Attachment
    from aio_tuned.model.curve import Curve, PointStats
    from aio_tuned.model.device import ArrayState, Device
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction

# At this share of the link's data rate the link is the limit: acknowledgements and other overhead take the rest.
_NEARLY = 0.95
# The clocks of link and host agree to 0.1 %, and measurements take milliseconds, so a larger excess is no timing error.
_MARGIN = 0.02
# Threads that spend this share of the time submitting and reaping are the limit.
_BUSY = 0.9
# A loss over the phase of at least this share is reported together with heat; the drift finding has the same limit.
_NOTABLE_LOSS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts about a sweep that are not in its samples; the defaults mean unknown.

    `attachment` is the drive's link after the sweep, and `others` are all profiles known on this host. `array_became`
    is the state of the RAID arrays at the end if it changed during the sweep. `nocow_bytes_per_s` is the throughput of
    writes to a file without copy-on-write. `space` is a finding on the scratch file's space, or "". `keep_cache` is why
    the host's page cache was kept although the configuration drops it, or "". `never_quiet` describes the I/O of other
    processes beside which the drive was measured, or ""; then at most `max_concurrency` requests were in flight.
    `max_transfer_ns` limited the duration of each transfer.
    """

    attachment: Attachment | None = None
    others: tuple[Profile, ...] = ()
    heat: Heat = Heat()
    array_became: ArrayState | None = None
    nocow_bytes_per_s: float | None = None
    space: str = ""
    keep_cache: str = ""
    never_quiet: str = ""
    max_concurrency: int | None = None
    max_transfer_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionResult:
    """The curve of one direction, with the result chosen from it."""

    curve: Curve
    result: Result

    @property
    def direction(self) -> Direction:
        return self.curve.direction

    @property
    def stats(self) -> PointStats | None:
        """The statistics of the chosen point; None if the curve lacks it."""
        points = (one for one in self.curve.points if self.result.setting in one.point.aliases)
        return next(points, None)


def collect(
    device: Device, filesystem: str, found: Sequence[DirectionResult], facts: Facts, tolerance: float
) -> tuple[str, ...]:
    """Return the findings on the link, the processor, the space, the temperature and the siblings, one string each.

    `filesystem` is the type of the measured filesystem. `tolerance` is the tolerance of the choice, as a share. Raise
    MeasurementError if a throughput exceeds the capacity of the drive's link.
    """
    return (
        *_check_link(device, found, facts.attachment),
        *(said for one in found if (said := _check_processor(one))),
        *((facts.space,) if facts.space else ()),
        *_check_heat(found, facts.heat),
        *_check_siblings(device, filesystem, found, facts.others, tolerance),
    )


# --- the link --------------------------------------------------------------------------------------------


def _check_link(device: Device, found: Sequence[DirectionResult], attachment: Attachment | None) -> Iterator[str]:
    """Compare the throughputs with the drive's PCIe link, unless the drive is a volume or its link is virtual."""
    if attachment is None or not attachment.real or device.members:
        return
    link = attachment.link
    before = pcie.named(device.pcie_link)
    if before is not None and before != link:
        yield (
            f"link: changed from {before} to {link} during the sweep; the figures may mix both speeds; look for PCIe"
            " errors in the kernel log and reseat the drive"
        )
        return
    if said := pcie.below(attachment):
        yield said
    for one in found:
        rate = one.result.throughput_bytes_per_s
        shown, most, data = formatting.throughput(rate), link.max_bytes_per_s, link.data_bytes_per_s
        if rate > most * (1 + _MARGIN):
            raise MeasurementError(
                f"{device.node}: measured {one.direction} throughput of {shown} exceeds the capacity of its link"
                f" ({link}: {formatting.throughput(most)}); look for a cache in front of the drive or a replaced"
                " aio-sweep, then tune again"
            )
        if rate >= data * _NEARLY:
            yield (
                f"{one.direction}: {shown} is the limit of the drive's link ({link}:"
                f" about {formatting.throughput(data)} of data); neither another setting nor another drive is much"
                " faster in this slot"
            )


# --- the processor ---------------------------------------------------------------------------------------


def _check_processor(found: DirectionResult) -> str:
    """Return a finding if the threads of the chosen point are busy for 90 % of the time or more, else ""."""
    stats, threads = found.stats, found.result.setting.io_parallelism
    if stats is None:
        return ""
    share = stats.cpu_s_per_gb * stats.bytes_per_s / 1e9 / threads
    if share < _BUSY:
        return ""
    subject = "the thread is" if threads == 1 else f"the {threads} threads are"
    return (
        f"{found.direction}: {subject} busy {100 * min(share, 1):.0f} % of the time submitting and reaping I/O; the"
        " processor, not the drive, limits the throughput; check the frequency governor and the load of other processes"
    )


# --- heat ------------------------------------------------------------------------------------------------


def _check_heat(found: Sequence[DirectionResult], heat: Heat) -> Iterator[str]:
    """Yield a finding if the drive reached its warning threshold or the sweep paused for heat, with the lost speed."""
    measured = []
    if heat.warned is not None:
        measured.append(
            f"the drive reached {heat.warned.celsius:.0f} °C (warning threshold {heat.warned.limit:.0f} °C)"
        )
    if heat.pauses:
        measured.append(f"the sweep paused {'once' if heat.pauses == 1 else f'{heat.pauses} times'} because of heat")
    if not measured:
        return
    parts = [" and ".join(measured)]
    # Below its own threshold a drive does not throttle itself, so a loss there has another cause.
    lost = [
        f"{one.direction}s became {-100 * one.curve.drift:.0f} % slower"
        for one in found
        if heat.warned is not None and one.curve.drift < -_NOTABLE_LOSS
    ]
    if lost:
        parts.append(f"{' and '.join(lost)}, probably because of heat")
    yield f"temperature: {'; '.join(parts)}; improve the cooling, then tune again"


# --- the siblings -------------------------------------------------------------------------------------------


def _check_siblings(
    device: Device, filesystem: str, found: Iterable[DirectionResult], others: Iterable[Profile], tolerance: float
) -> Iterator[str]:
    """Yield a finding for each direction in which the drive is outside the range of its siblings on the filesystem."""
    siblings = [other for other in find_siblings(device, others) if other.fingerprint.filesystem == filesystem]
    for one in found:
        known = [
            (part, sibling)
            for sibling in siblings
            if isinstance(part := sibling.read if one.direction == "read" else sibling.write, Result)
        ]
        if not known or not apart(one.result, [part for part, _ in known], tolerance):
            continue
        rates = sorted(part.throughput_bytes_per_s for part, _ in known)
        here = formatting.throughput(one.result.throughput_bytes_per_s)
        least, most = formatting.throughput(rates[0]), formatting.throughput(rates[-1])
        theirs = least if least == most else f"{least} to {most}"
        if len(known) == 1:
            there = f"{known[0][1].device.name}, of the same model and firmware, reaches {theirs}"
        else:
            there = f"{len(known)} drives of this model and firmware reach {theirs}"
        compared = f"{one.direction}: {here}, but {there} on this host"
        if one.result.throughput_bytes_per_s > rates[-1]:
            slow = "that drive is" if len(known) == 1 else "those drives are"
            yield f"{compared}; {slow} slow, not this one; check health (nvme smart-log), temperature and slot there"
        elif links := _better_links(device, [sibling for _, sibling in known]):
            own = pcie.named(device.pcie_link)
            yield f"{compared}; the link of this drive is {own}, theirs {links}; move the drive to such a slot"
        else:
            yield (
                f"{compared}; this drive is slower, whatever the setting; check its health (nvme smart-log),"
                " temperature and slot"
            )


def _better_links(device: Device, siblings: Iterable[Profile]) -> str:
    """Return the links of the siblings if all are known and faster than the drive's own, else ""."""
    own, theirs = pcie.named(device.pcie_link), [pcie.named(sibling.fingerprint.pcie_link) for sibling in siblings]
    better = [link for link in theirs if own and link and link.max_bytes_per_s > own.max_bytes_per_s]
    return " or ".join(sorted({str(link) for link in better})) if len(better) == len(theirs) else ""
