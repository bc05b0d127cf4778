"""The port to what the nodes of a fleet share: reports, slots for sweeps, and class results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from aio_tuned.errors import AioTunedError, Exit, FleetDataError
from aio_tuned.fleet import keys
from aio_tuned.fleet.class_status import ClassStatus
from aio_tuned.fleet.pin import Pin
from aio_tuned.fleet.plan import MOST_SLOTS, ClassPlan
from aio_tuned.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.keys import Slot, SlotKind
    from aio_tuned.fleet.report import DriveReport
    from aio_tuned.fleet.signature import Keyring, Signed

_OfClass = TypeVar("_OfClass", ClassPlan, ClassStatus)
_NUMBERS = {str(number): number for number in range(MOST_SLOTS)}
_LONGEST_HOLDER = 64


class StoreError(AioTunedError):
    """The store refused a call; its subclasses tell why."""


class UnreachableError(StoreError):
    """No endpoint answers, or too few of the store's members are up; the call may be repeated later."""

    exit_code = Exit.TIMEOUT


class TlsError(UnreachableError):
    """An endpoint's certificate is not trusted, has expired, or is for another host."""


class LoginError(StoreError):
    """The store does not know the user or the password, or has authentication off."""

    exit_code = Exit.CONFIG


class RightsError(StoreError):
    """The user may not read or write the key."""

    exit_code = Exit.PRIVILEGE


class StaleError(StoreError):
    """Another coordinator wrote the class result since it was read."""


class ClaimLostError(StoreError):
    """The lease of a claim ended, and another node may have the slot."""


class FullError(StoreError):
    """The store has reached its quota."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A slot that a node holds as long as it keeps the lease alive."""

    slot: Slot
    node: str
    lease: int


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """What the store has under a class's key.

    `result` is None if there is nothing, which has revision 0, or if `ignored` tells why it is not trusted.
    """

    result: Signed[ClassResult] | None
    revision: int
    ignored: str = ""


class ReportId(NamedTuple):
    """What the key of a report has: its node, its drive and its basis. Nodes write keys, so any text may be there."""

    node: str
    drive: str
    basis: str


class IgnoredReport(NamedTuple):
    """A report that is not taken, and the reason."""

    id: ReportId
    why: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The reports and the pins of classes that changed up to a revision.

    `complete` is false if the store no longer has all changes: then all reports and pins are to be read again.
    """

    revision: int
    reports: frozenset[ReportId] = frozenset()
    pins: frozenset[str] = frozenset()
    complete: bool = True


class Store(Protocol):
    """What the nodes of a fleet share.

    All methods raise UnreachableError, LoginError or RightsError. What is read was checked: a document counts only if
    a trusted key signed it, and if it is under its own key.
    """

    def put_report(self, report: Signed[DriveReport]) -> None:
        """Store the report of a drive in place of its previous one; raise FullError if there is no space."""

    def list_reports(self, node: str | None = None) -> Iterator[Signed[DriveReport] | IgnoredReport]:
        """Yield all reports, or those of a node."""

    def get_report(self, of: ReportId) -> Signed[DriveReport] | IgnoredReport | None:
        """Return one report, None if there is none."""

    def claim(self, slot: Slot, node: str, ttl_s: int) -> Claim | None:
        """Take the slot for `ttl_s` seconds, or return None if a node has it."""

    def keep_alive(self, claim: Claim) -> None:
        """Hold the slot for another `ttl_s` seconds; raise ClaimLostError if the lease has ended."""

    def release(self, claim: Claim) -> None:
        """Give the slot back, if it is still held."""

    def holders(self, kind: SlotKind, name: str) -> Mapping[int, str]:
        """Return the nodes that hold slots of a class or a rack, by the slots' numbers."""

    def get_class(self, hardware_class: str) -> ClassEntry:
        """Return the current result of a class."""

    def put_class(self, result: Signed[ClassResult], over: ClassEntry) -> ClassEntry:
        """Store a class result over the one that was read, and keep it in the history.

        Raise StaleError if the stored one is another one by now, and ReplayError if the result is older than it.
        """

    def history(self, hardware_class: str) -> tuple[Signed[ClassResult], ...]:
        """Return the last generations of the class that are trusted, newest first."""

    def get_plan(self, hardware_class: str) -> Signed[ClassPlan] | None:
        """Return the plan of a class, None if there is none that is trusted."""

    def put_plan(self, plan: Signed[ClassPlan]) -> None:
        """Store the plan of a class in place of its previous one."""

    def list_statuses(self) -> Iterator[Signed[ClassStatus]]:
        """Yield the trusted statuses of all classes, in the order of their keys."""

    def put_status(self, status: Signed[ClassStatus]) -> None:
        """Store the status of a class in place of its previous one."""

    def get_pin(self, hardware_class: str) -> Pin | None:
        """Return the pin of a class, None if there is none; raise FleetDataError if it is damaged."""

    def put_pin(self, pin: Pin) -> None:
        """Store the pin of a class in place of its previous one; raise FleetDataError if it has impossible values."""

    def delete_pin(self, hardware_class: str) -> bool:
        """Remove the pin of a class; return whether there was one."""

    def watch(self, since: int | None, wait_s: float) -> Changes:
        """Wait until reports or pins change after the revision, `wait_s` seconds at most, and return the changes.

        Without `since`, return the current revision at once. All changes after it are told, whenever they happen.
        """


def changes_of(revision: int, changed: Iterable[str]) -> Changes:
    """Return the changes of reports and pins by their keys."""
    found = frozenset(changed)
    reports = frozenset(ReportId(*keys.report_of(key)) for key in found if key.startswith(keys.REPORTS))
    return Changes(
        revision, reports, frozenset(key.removeprefix(keys.PINS) for key in found if key.startswith(keys.PINS))
    )


def holders_of(held: Iterable[tuple[str, str]]) -> dict[int, str]:
    """Return the holders of slots by the slots' numbers; any node may write there, so what is no slot is left out."""
    return {_NUMBERS[number]: printable(holder)[:_LONGEST_HOLDER] for number, holder in held if number in _NUMBERS}


def check_report(key: str, text: str | bytes, keyring: Keyring) -> Signed[DriveReport] | IgnoredReport:
    """Return the report that a key has, or why it is ignored."""
    named = ReportId(*keys.report_of(key))
    try:
        found = keyring.read_report(text)
    except FleetDataError as error:
        return IgnoredReport(named, str(error))
    of = found.document
    if (of.node, of.drive, of.basis) != named:
        return IgnoredReport(named, f"is a {of.basis} report of {of.drive} of {of.node}; it is ignored")
    return found


def check_class(hardware_class: str, text: str | bytes, revision: int, keyring: Keyring) -> ClassEntry:
    """Return the entry of a class with a text; it has no result if the text is not trusted."""
    try:
        found = keyring.read_result(text)
    except FleetDataError as error:
        return ClassEntry(None, revision, str(error))
    if found.document.hardware_class != hardware_class:
        return ClassEntry(None, revision, f"is a result of class {found.document.hardware_class}; it is ignored")
    return ClassEntry(found, revision)


def check_of_class(
    hardware_class: str, text: str | bytes, keyring: Keyring, of: type[_OfClass]
) -> Signed[_OfClass] | None:
    """Return the plan or the status of a class in a text, None if the text is not trusted."""
    try:
        found = keyring.read(text, of)
    except FleetDataError:
        return None
    return found if found.document.hardware_class == hardware_class else None


def pin_text(pin: Pin) -> str:
    """Return the text of the pin; raise FleetDataError if it has values that its readers refuse."""
    text = pin.to_json()
    Pin.from_json(text)
    return text


def check_pin(hardware_class: str, text: str | bytes) -> Pin:
    """Return the pin in a text; raise FleetDataError if it is none, or one of another class."""
    found = Pin.from_json(text)
    if found.hardware_class != hardware_class:
        raise FleetDataError(f"pin: is one of class {found.hardware_class}; it is ignored")
    return found
