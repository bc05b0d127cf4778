"""The memory that this process may lock (RLIMIT_MEMLOCK)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.devices import sysfs
from aio_tuned.launch.doctor import capability
from aio_tuned.launch.doctor.finding import HOST, Finding, Outcome, Unchecked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from aio_tuned.launch.doctor.need import Need

CHECK = "memlock"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLock:
    """The limit of this process in bytes, None without one; `exempt` if it may exceed it (CAP_IPC_LOCK)."""

    limit_bytes: int | None
    exempt: bool


def read(proc: Path) -> MemoryLock | None:
    """Return the limit of this process; None if /proc does not show it."""
    found = re.search(r"^Max locked memory +(\d+|unlimited) ", sysfs.attribute(proc / "self", "limits"), re.MULTILINE)
    if not found:
        return None
    return MemoryLock(
        limit_bytes=None if found[1] == "unlimited" else int(found[1]),
        exempt=capability.has(capability.IPC_LOCK, proc),
    )


def check(facts: MemoryLock | None, needs: Iterable[Need]) -> Iterator[Outcome]:
    """Compare the limit with the largest need."""
    need = max(needs, key=lambda each: each.locked_bytes, default=None)
    if need is None or not need.locked_bytes:
        return
    if facts is None:
        yield Unchecked(check=CHECK, subject=HOST, reason="/proc/self/limits cannot be read")
    elif facts.limit_bytes is None or facts.limit_bytes >= need.locked_bytes:
        return
    elif facts.exempt:
        allowed = f"the limit of {formatting.amount(facts.limit_bytes)} does not bind this process (CAP_IPC_LOCK)"
        yield Unchecked(check=CHECK, subject=HOST, reason=f"{allowed}; run this as the user of {need.consumer}")
    else:
        yield Finding(
            check=CHECK,
            subject=HOST,
            problem=(
                f"this process may lock {formatting.amount(facts.limit_bytes)} of memory, but {need.consumer} locks"
                f" {formatting.amount(need.locked_bytes)} or more with the settings"
            ),
            remedy="set LimitMEMLOCK=infinity in the unit, ulimit -l unlimited, or the container's --ulimit memlock=-1",
        )
