"""The policy for transparent huge pages, and what the sweeps have measured that they add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.launch.doctor.finding import HOST, Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aio_tuned.model.profile import Profile

CHECK = "thp"
# Larger ones, of 512 MiB with pages of 64 KiB, do not fit into the buffers of consumers.
_LARGEST_USEFUL_BYTES = 64 << 20
_REMEDY = "echo always > /sys/kernel/mm/transparent_hugepage/enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class HugePageGain:
    """The per cent that huge pages add to a direction's throughput, with the least of the 95 % interval."""

    node: str
    direction: str
    percent: float
    least_percent: float


def gains(node: str, profile: Profile, policy: str) -> tuple[HugePageGain, ...]:
    """Return what the sweep of the profile has measured under that policy; () under another one."""
    evidence = profile.evidence
    if policy not in (profile.fingerprint.thp, evidence.thp):
        return ()
    found = (
        ("read", evidence.read_huge_gain_percent, evidence.read_huge_gain_ci95_percent),
        ("write", evidence.write_huge_gain_percent, evidence.write_huge_gain_ci95_percent),
    )
    return tuple(
        HugePageGain(node=node, direction=direction, percent=percent, least_percent=interval[0])
        for direction, percent, interval in found
        if percent is not None and interval is not None
    )


def check(policy: str, measured: Iterable[HugePageGain], *, page_bytes: int, thp_bytes: int) -> Iterator[Outcome]:
    """Report a policy that denies huge pages to consumers, unless they were measured to add nothing.

    `page_bytes` and `thp_bytes` are the sizes of the kernel's pages and of its transparent huge pages, 0 if unknown.
    """
    if not policy:
        yield Unchecked(
            check=CHECK, subject=HOST, reason="the kernel has no transparent huge pages, or /sys hides them"
        )
        return
    if policy == "always":
        return
    best = max(measured, key=lambda gain: gain.least_percent, default=None)
    if best is None and policy == "never" and thp_bytes <= _LARGEST_USEFUL_BYTES:
        yield Finding(
            check=CHECK,
            subject=HOST,
            problem=(
                "transparent huge pages are off (never), so the buffers of consumers are in pages of"
                f" {formatting.amount(page_bytes)}"
            ),
            remedy=_REMEDY,
        )
    elif best and best.least_percent > 0:
        yield Finding(
            check=CHECK,
            subject=HOST,
            problem=(
                f"transparent huge pages are {policy}, but with them {best.direction}s of {best.node} gain"
                f" {best.percent:.1f} % (at least {best.least_percent:.1f} %)"
            ),
            remedy=_REMEDY,
        )
