"""The keys of the store, and who may read and write which of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

ROOT = "/aio-tuned/v1/"
REPORTS = f"{ROOT}report/"
CLASSES = f"{ROOT}class/"
# As many generations of a class are kept, the current one among them.
HISTORY = 5
# So that the order of the keys is that of the generations.
_GENERATION_DIGITS = 10

SlotKind = Literal["claim", "budget"]
_SLOTS: dict[SlotKind, str] = {"claim": f"{ROOT}claim/", "budget": f"{ROOT}budget/"}


class Slot(NamedTuple):
    """A place that one node has at a time: the `number`th sweep of a class, or of a rack ("budget") at once."""

    kind: SlotKind
    name: str
    number: int

    @property
    def key(self) -> str:
        """The key that its holder creates."""
        return f"{slots(self.kind, self.name)}{self.number}"


def slots(kind: SlotKind, name: str) -> str:
    """Return the prefix of all slots of a class or of a rack."""
    return f"{_SLOTS[kind]}{name}/"


def reports(node: str) -> str:
    """Return the prefix of a node's reports."""
    return f"{REPORTS}{node}/"


def report(node: str, drive: str) -> str:
    """Return the key of a drive's report."""
    return f"{reports(node)}{drive}"


def report_of(key: str) -> tuple[str, str]:
    """Return the node and the drive of a report's key."""
    node, _, drive = key.removeprefix(REPORTS).partition("/")
    return node, drive


def consensus(hardware_class: str) -> str:
    """Return the key of a class's current result."""
    return f"{CLASSES}{hardware_class}/consensus"


def history(hardware_class: str, generation: int | None = None) -> str:
    """Return the prefix of a class's generations, or the key of one."""
    number = "" if generation is None else f"{generation:0{_GENERATION_DIGITS}}"
    return f"{CLASSES}{hardware_class}/history/{number}"


def oldest_kept(hardware_class: str, generation: int) -> str:
    """Return the key of the oldest generation that is kept beside this one."""
    return history(hardware_class, max(generation - HISTORY + 1, 0))


def end_of(prefix: str) -> str:
    """Return the first key after all keys with the prefix, whose last character is ASCII."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


@dataclass(frozen=True, slots=True)
class Right:
    """What a user may do with all keys of a prefix; who may write may read, too."""

    access: Literal["read", "readwrite"]
    prefix: str


def node_rights(node: str) -> tuple[Right, ...]:
    """Return what a node's user may do: write its own reports and the slots, and read class results.

    Slots are common to all nodes, so a node could end the claim of another one. That costs a sweep that is done again,
    and no wrong setting.
    """
    return (
        Right("readwrite", reports(node)),
        *(Right("readwrite", prefix) for prefix in _SLOTS.values()),
        Right("read", CLASSES),
    )


def coordinator_rights() -> tuple[Right, ...]:
    """Return what the coordinators' user may do: read everything, and write class results."""
    return (Right("read", ROOT), Right("readwrite", CLASSES))
