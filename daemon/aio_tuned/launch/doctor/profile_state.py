"""The profile of a drive: whether there is one, and whether it is of the drive and host as they are now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aio_tuned.launch.doctor.finding import Finding, Outcome
from aio_tuned.profiles import decision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aio_tuned.model.profile import Fingerprint, Profile, State

CHECK = "profile"
# The parts of the fingerprint that a finding of these checks explains.
_EXPLAINED = {
    "array": ("array",),
    "link": ("pcie_link",),
    "max_sectors_kb": ("max_sectors_kb",),
    "nr_requests": ("nr_requests",),
    "numa": ("numa_node",),
    "scheduler": ("scheduler", "nr_requests"),  # with another scheduler the kernel sets nr_requests again
    "thp": ("thp",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileState:
    """The profile of the drive with that node.

    `error` is the reader's reason why there is none to use, or "". `changed` are the differences since the sweep that
    no other finding explains, and `explained` is whether others were left out. `why` is the profile's own last finding,
    and `daemon` what the daemon says of the drive.
    """

    node: str
    error: str = ""
    state: State = "measured"
    why: str = ""
    changed: tuple[str, ...] = ()
    explained: bool = False
    daemon: str = ""


def differences(
    profile: Profile, now: Fingerprint, kernel_release: str, kernel_change: str, found: Iterable[str]
) -> tuple[tuple[str, ...], bool]:
    """Return what has changed since the sweep, without what findings of these checks explain, and if there is such."""
    if profile.evidence.measured_at is None:
        return (), False
    fields = [field for check in found for field in _EXPLAINED.get(check, ())]
    as_before = replace(now, **{field: getattr(profile.fingerprint, field) for field in fields})
    every = decision.differences(profile, now, kernel_release, kernel_change)
    left = decision.differences(profile, as_before, kernel_release, kernel_change)
    return left, len(left) < len(every)


def check(facts: ProfileState) -> Iterator[Outcome]:
    """Report a profile that is missing, damaged, provisional, stale, or of other circumstances."""
    tune = f"run aio-tuned tune {facts.node}, or start the daemon (systemctl start aio-tuned)"
    if facts.daemon:
        tune = f"run aio-tuned tune {facts.node}; the daemon reports: {facts.daemon}"
    if facts.error:
        problem, _, remedy = facts.error.rpartition("; ")
        if not problem or facts.daemon:
            problem, remedy = (problem or facts.error), tune
        yield Finding(check=CHECK, subject=facts.node, problem=problem, remedy=remedy)
    elif facts.changed:
        changed = "; ".join(facts.changed)
        problem = f"the settings were measured under other circumstances: {changed}"
        yield Finding(check=CHECK, subject=facts.node, problem=problem, remedy=tune)
    elif facts.state != "measured" and not facts.explained:
        why = f": {facts.why}" if facts.why else ""
        yield Finding(check=CHECK, subject=facts.node, problem=f"the settings are {facts.state}{why}", remedy=tune)
