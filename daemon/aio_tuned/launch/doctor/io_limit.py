"""The limits of this process's control groups on a drive (io.max), against the measured throughput."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.devices import sysfs
from aio_tuned.launch.doctor.finding import Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CHECK = "io.max"
_READS, _WRITES = "read", "write"
_KEYS = {"rbps": _READS, "riops": _READS, "wbps": _WRITES, "wiops": _WRITES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit of a control group: "rbps", "wbps", "riops" or "wiops", and its value a second."""

    group: str
    key: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IoLimits:
    """The limits on a drive, and its measured throughput by direction in bytes/s, without those that are unknown.

    `unseen` is the reason why the limits cannot be seen, or "".
    """

    node: str
    limits: tuple[Limit, ...] = ()
    read_bytes_per_s: int | None = None
    write_bytes_per_s: int | None = None
    unseen: str = ""


def read(numbers: Collection[str], sys: Path, proc: Path) -> tuple[tuple[Limit, ...], str]:
    """Return the limits of this process's groups on the devices with these numbers, and why there may be others."""
    root = sys / "fs/cgroup"
    if not (root / "cgroup.controllers").exists():
        return (), "no control groups of version 2 are mounted"
    lines = sysfs.attribute(proc / "self", "cgroup").splitlines()
    path = next((Path(line[3:]) for line in lines if line.startswith("0::/")), None)
    if path is None:
        return (), "this process's control group is unknown"
    found = []
    for place in (path, *path.parents):
        for line in sysfs.attribute(root / place.relative_to("/"), "io.max").splitlines():
            number, *words = line.split()
            pairs = (word.partition("=") for word in words) if number in numbers else ()
            found += [
                Limit(group=str(place), key=key, value=int(value))
                for key, _, value in pairs
                if key in _KEYS and value.isdecimal()
            ]
    return tuple(found), ""


def check(facts: IoLimits, request_bytes: int) -> Iterator[Outcome]:
    """Report the lowest limit of each direction that is below what the drive gives."""
    if facts.unseen:
        yield Unchecked(check=CHECK, subject=facts.node, reason=facts.unseen)
    for direction, measured in ((_READS, facts.read_bytes_per_s), (_WRITES, facts.write_bytes_per_s)):
        rates = [(_bytes_per_s(limit, request_bytes), limit) for limit in facts.limits if _KEYS[limit.key] == direction]
        if not rates:
            continue
        rate, limit = min(rates, key=lambda pair: pair[0])
        if measured is None or rate < measured:
            gives = f"; the drive gives {formatting.throughput(measured)}" if measured else ""
            yield Finding(
                check=CHECK,
                subject=facts.node,
                problem=f"control group {limit.group} limits {direction}s to {formatting.throughput(rate)}{gives}",
                remedy=f"raise {limit.key} in its io.max ({_remedy(limit)})",
            )


def _bytes_per_s(limit: Limit, request_bytes: int) -> int:
    return limit.value if limit.key.endswith("bps") else limit.value * request_bytes


def _remedy(limit: Limit) -> str:
    kind = "Bandwidth" if limit.key.endswith("bps") else "IOPS"
    return f"IO{_KEYS[limit.key].capitalize()}{kind}Max= of its unit"
