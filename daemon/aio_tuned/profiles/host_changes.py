"""The changes of the host between two fingerprints; a key that is None in one of them is unknown, not changed."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from aio_tuned.model.host import Host

if TYPE_CHECKING:
    from aio_tuned.model.profile import Fingerprint

HOST_KEYS = tuple(item.name for item in fields(Host))

_PROCESSORS = ("cpus", "cpu_model")
_WORDS = {
    "thp": "policy for transparent huge pages",
    "page_bytes": "size of the kernel's pages",
    "iommu": "mode of the drive's IOMMU domain",
    "numa_node": "NUMA node of the drive",
}
_NO_NODE = -1


def host_changes(was: Fingerprint, now: Fingerprint) -> tuple[str, ...]:
    """Return a phrase for each change of the host."""
    changed = [key for key in _known(was, now, *HOST_KEYS) if getattr(was, key) != getattr(now, key)]
    phrases = []
    if not {*_PROCESSORS}.isdisjoint(changed):
        known = _known(was, now, *_PROCESSORS)
        old, new = (" x ".join(str(getattr(one, key)) for key in known) for one in (was, now))
        phrases.append(f"processors changed from {old} to {new}")
    for key, words in _WORDS.items():
        if key in changed:
            old, new = (_shown(getattr(one, key)) for one in (was, now))
            phrases.append(f"{words} changed from {old} to {new}")
    return tuple(phrases)


def is_same_host(one: Fingerprint, other: Fingerprint) -> bool:
    """Return whether all keys of the host are equal, unknown ones too."""
    return all(getattr(one, key) == getattr(other, key) for key in HOST_KEYS)


def _known(was: Fingerprint, now: Fingerprint, *keys: str) -> list[str]:
    return [key for key in keys if None not in (getattr(was, key), getattr(now, key))]


def _shown(value: object) -> str:
    return "none" if value == _NO_NODE else str(value)
