"""Findings of a sweep: sentences for people on what limits a drive or looks wrong with it."""

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

# From this share of the link's data rate the link is the limit: acknowledgements and other overhead take the rest.
_NEARLY = 0.95
# The clocks of link and host agree to 0.1 %, and measurements take milliseconds: a larger excess is no timing error.
_MARGIN = 0.02
# Threads that are busy for this share of the time with submitting and reaping are the limit.
_BUSY = 0.9
# A loss over the phase of at least this share is reported together with heat; drift has the same limit.
_NOTABLE_LOSS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts that are not in the samples; the defaults mean unknown.

    `attachment` is the drive's link after the sweep, and `others` are all profiles that are known on this host.
    `array_became` is the state of the RAID arrays at the end if it is not that of the beginning. `nocow_bytes_per_s` is
    what writes to a file without copy-on-write gave. `space` is a finding on the scratch file's space, or "", and
    `keep_cache` why the host's page cache was kept although the configuration drops it, or "". `never_quiet` is what
    others did on a drive that was measured beside them, or "", with at most `max_concurrency` requests in flight.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionResult:
    """One direction's curve, with the result that was chosen from it."""

    curve: Curve
    result: Result

    @property
    def direction(self) -> Direction:
        return self.curve.direction

    @property
    def stats(self) -> PointStats | None:
        """The statistics of the chosen point; None if the curve does not have it."""
        points = (one for one in self.curve.points if self.result.setting in one.point.aliases)
        return next(points, None)


def collect(
    device: Device, filesystem: str, found: Sequence[DirectionResult], facts: Facts, tolerance: float
) -> tuple[str, ...]:
    """Return the findings, a sentence each.

    `filesystem` is the one that the drive was measured on, and `tolerance` is the choice's, as a share. Raise
    MeasurementError if a figure is more than the drive's link can carry, and so cannot be the drive's.
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
    """Compare the figures with the drive's PCIe link, unless the drive is a volume, or has no real link."""
    if attachment is None or not attachment.real or device.members:
        return
    link = attachment.link
    before = pcie.named(device.pcie_link)
    if before is not None and before != link:
        yield (
            f"the drive's link went from {before} to {link} during the sweep: look for PCIe errors in the kernel's log,"
            " and reseat the drive"
        )
        return
    if said := pcie.below(attachment):
        yield said
    for one in found:
        rate = one.result.throughput_bytes_per_s
        shown, most, data = formatting.throughput(rate), link.max_bytes_per_s, link.data_bytes_per_s
        if rate > most * (1 + _MARGIN):
            raise MeasurementError(
                f"{device.node}: {one.direction}s of {shown} are more than its link can carry ({link}:"
                f" {formatting.throughput(most)}): find out what answers in the drive's place, a cache or a stand-in"
                " for the helper, and tune again"
            )
        if rate >= data * _NEARLY:
            yield (
                f"{one.direction}: {shown} is what the drive's link carries ({link}:"
                f" about {formatting.throughput(data)} of data): neither a setting nor another drive gives much"
                " more there"
            )


# --- the processor ---------------------------------------------------------------------------------------


def _check_processor(found: DirectionResult) -> str:
    """Return a finding if the chosen point's threads are busy nearly all of the time, else ""."""
    stats, threads = found.stats, found.result.setting.io_parallelism
    if stats is None:
        return ""
    share = stats.cpu_s_per_gb * stats.bytes_per_s / 1e9 / threads
    if share < _BUSY:
        return ""
    whose = "its thread is" if threads == 1 else f"its {threads} threads are"
    return (
        f"{found.direction}: {whose} busy {100 * min(share, 1):.0f} % of the time submitting and reaping: the"
        " processor, not the drive, is the limit; look at its frequency governor, and at what else runs there"
    )


# --- heat ------------------------------------------------------------------------------------------------


def _check_heat(found: Sequence[DirectionResult], heat: Heat) -> Iterator[str]:
    """Yield a finding if the drive reached its warning threshold or the sweep paused for heat, with the speed lost."""
    said = []
    if heat.warned is not None:
        said.append(f"the drive reached {heat.warned.celsius:.0f} °C, its own warning is at {heat.warned.limit:.0f} °C")
    if heat.pauses:
        said.append(f"the sweep paused {'once' if heat.pauses == 1 else f'{heat.pauses} times'} because of heat")
    if not said:
        return
    # A loss is put down to heat only above the drive's own threshold: below it the drive does not throttle itself.
    if heat.warned is not None:
        lost = [
            f"{one.direction}s became {-100 * one.curve.drift:.0f} % slower meanwhile"
            for one in found
            if one.curve.drift < -_NOTABLE_LOSS
        ]
        said += [f"{' and '.join(lost)}, most likely because of it"] if lost else []
    yield f"{', '.join(said)}: cool it better, and tune again"


# --- the siblings -------------------------------------------------------------------------------------------


def _check_siblings(
    device: Device, filesystem: str, found: Iterable[DirectionResult], others: Iterable[Profile], tolerance: float
) -> Iterator[str]:
    """Yield a finding for each direction in which the drive is outside the range of its siblings on this filesystem."""
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
        here = f"{one.direction}: {formatting.throughput(one.result.throughput_bytes_per_s)}"
        least, most = formatting.throughput(rates[0]), formatting.throughput(rates[-1])
        theirs = least if least == most else f"{least} to {most}"
        if len(known) == 1:
            there = f"{known[0][1].device.name}, of the same model and firmware, gives {theirs}"
        else:
            there = f"{len(known)} drives of this model and firmware give {theirs}"
        if one.result.throughput_bytes_per_s > rates[-1]:
            yield f"{here}, but {there} here: look at what slows the others"
        elif links := _better_links(device, [sibling for _, sibling in known]):
            own = pcie.named(device.pcie_link)
            yield f"{here}, but {there} here: their link is {links}, its own {own}; try such a slot"
        else:
            yield f"{here}, but {there} here: look at its health (nvme smart-log), its temperature and its slot"


def _better_links(device: Device, siblings: Iterable[Profile]) -> str:
    """Return the siblings' links if all are known and carry more than the drive's own, else ""."""
    own, theirs = pcie.named(device.pcie_link), [pcie.named(sibling.fingerprint.pcie_link) for sibling in siblings]
    better = [link for link in theirs if own and link and link.max_bytes_per_s > own.max_bytes_per_s]
    return " or ".join(sorted({str(link) for link in better})) if len(better) == len(theirs) else ""
