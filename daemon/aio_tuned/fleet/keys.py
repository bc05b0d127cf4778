"""The keys of the store, and who may read and write which of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

ROOT = "/aio-tuned/v1/"
REPORTS = f"{ROOT}report/"
CLASSES = f"{ROOT}class/"
STATUSES = f"{ROOT}status/"
# The keys of pins and of reports follow each other, so that one watch has both.
PINS = f"{ROOT}pin/"
WATCHED = (PINS, REPORTS)
# As many generations of a class are kept, the current one among them.
HISTORY = 5
# So that the order of the keys is that of the generations.
_GENERATION_DIGITS = 10

SlotKind = Literal["claim", "budget", "leader"]
_SLOTS: dict[SlotKind, str] = {kind: f"{ROOT}{kind}/" for kind in get_args(SlotKind)}
# The kinds that nodes take.
_OF_NODES: tuple[SlotKind, ...] = ("claim", "budget")


class Slot(NamedTuple):
    """A place that one node has at a time.

    It is the `number`th sweep of a class, or of a rack at once ("budget"), or the lead of the coordinators.
    """

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


def report(node: str, drive: str, basis: str) -> str:
    """Return the key of a drive's report of that basis."""
    return f"{reports(node)}{drive}/{basis}"


def report_of(key: str) -> tuple[str, str, str]:
    """Return the node, the drive and the basis of a report's key."""
    node, _, rest = key.removeprefix(REPORTS).partition("/")
    drive, _, basis = rest.rpartition("/")
    return node, drive, basis


def pin(hardware_class: str) -> str:
    """Return the key of the settings that operators give a class."""
    return f"{PINS}{hardware_class}"


def plan(hardware_class: str) -> str:
    """Return the key of what the nodes of a class are to do."""
    return f"{CLASSES}{hardware_class}/plan"


def status(hardware_class: str) -> str:
    """Return the key of what operators see of a class."""
    return f"{STATUSES}{hardware_class}"


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
    """Return what a node's user may do: write its own reports and the slots, and read results and plans of classes.

    Slots are common to all nodes, so a node could end the claim of another one. That costs a sweep that is done again,
    and no wrong setting.
    """
    return (
        Right("readwrite", reports(node)),
        *(Right("readwrite", _SLOTS[kind]) for kind in _OF_NODES),
        Right("read", CLASSES),
    )


def coordinator_rights() -> tuple[Right, ...]:
    """Return what the coordinators' user may do: read everything, write what is of classes, and take the lead."""
    return (Right("read", ROOT), *(Right("readwrite", each) for each in (CLASSES, STATUSES, _SLOTS["leader"])))


def operator_rights() -> tuple[Right, ...]:
    """Return what operators may do: read everything, and write pins."""
    return (Right("read", ROOT), Right("readwrite", PINS))
