"""The spool: files by which the daemon, which is root and has no network, and the agent, which has one, talk.

`out/` is root's and has the reports of the drives. `in/` is the agent's and has an order for each drive. The daemon
reads `in/` as an attacker's: it follows no link, waits for nobody, reads a limited number of bytes, and writes nothing.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.errors import ConfigError, FleetDataError, PublishError
from aio_tuned.fleet.class_profile import check_usable, name_of
from aio_tuned.fleet.order import MAX_ORDER_BYTES, Order
from aio_tuned.fleet.report import BASES, DriveReport
from aio_tuned.storage import atomic_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from aio_tuned.fleet.consensus import ClassResult
    from aio_tuned.fleet.report import Basis
    from aio_tuned.model.setting import Grid

# Files of in/, one for each drive; out/ has one for each drive and basis.
MOST_FILES = 256

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# With O_NONBLOCK, opening waits neither for the writer of a named pipe nor for the owner of a lease (fcntl(2)).
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MODE = 0o755
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_LONGEST_SHOWN = 80
_ENDING = ".json"


class Spool:
    """The folders of the spool, below the state folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._folder = state / "fleet"
        self.out = self._folder / "out"
        self.inn = self._folder / "in"

    # --- the daemon's side --------------------------------------------------------------------------------

    def make(self, agent_uid: int | None) -> None:
        """Create the folders, and give `in/` to the user of the agent, if that is given; raise PublishError.

        The daemon's service has no right to give files away, so the installation creates `in/` with its owner.
        """
        atomic_file.make_folder(self._state)
        for folder, uid in ((self._folder, os.geteuid()), (self.out, os.geteuid()), (self.inn, agent_uid)):
            try:
                _make(folder, uid)
            except OSError as error:
                user = os.geteuid() if uid is None else uid
                remedy = f"run install -d -m 755 -o {user} {folder}"
                raise PublishError(f"{folder}: cannot be made: {error.strerror}; {remedy}") from None

    def write(self, report: DriveReport) -> None:
        """Write the report of a drive in place of that of the same basis.

        Keep a presence that differs only in its time, which is that of the last change. Raise PublishError if the file
        cannot be written, and FleetDataError if the report is too large.
        """
        text = replace(report, sent_s=0).to_json()
        # The best points that do not fit are missing in what was read back.
        new, old = DriveReport.from_json(text), self.reports_of(report.drive).get(report.basis)
        if old is None or old != (replace(new, at_s=old.at_s) if new.basis == "presence" else new):
            atomic_file.publish(self.out / _report_name(report.drive, report.basis), text)

    def reports_of(self, drive: str) -> Mapping[Basis, DriveReport]:
        """Return the reports of a drive that are in `out/`; a damaged one is as none."""
        names = [_report_name(drive, basis) for basis in BASES]
        return {each.basis: each for each in _reports(self.out, names)}

    def remove(self, drive: str) -> None:
        """Remove the reports of a drive; raise PublishError if one cannot be removed."""
        for basis in BASES:
            _remove(self.out / _report_name(drive, basis))

    def orders(self) -> tuple[Mapping[str, Order], tuple[str, ...]]:
        """Return the orders by the names of their drives, and a sentence for each file that is refused."""
        found: dict[str, Order] = {}
        refused: list[str] = []
        for file in _files(self.inn, MOST_FILES):
            try:
                order = _order(file)
                found[order.drive] = order
            except FleetDataError as error:
                refused.append(str(error))
        return found, tuple(refused)

    # --- the agent's side ---------------------------------------------------------------------------------

    def reports(self) -> tuple[DriveReport, ...]:
        """Return all reports that the daemon wrote, by drive and basis, without damaged ones."""
        return tuple(sorted(_reports(self.out), key=lambda each: (each.drive, each.basis)))

    def write_order(self, order: Order) -> None:
        """Write the order for a drive in place of its previous one.

        Raise PublishError if the file cannot be written, and FleetDataError if the daemon would refuse the order.
        """
        text = order.to_json()
        Order.from_json(text)
        atomic_file.publish(self.inn / f"{order.drive}{_ENDING}", text)

    def keep_orders(self, drives: Collection[str]) -> None:
        """Remove the orders for other drives, and what a kill left; raise PublishError if one cannot be removed."""
        kept = {f"{drive}{_ENDING}" for drive in drives}
        with contextlib.suppress(FileNotFoundError):
            for path in [*self.inn.iterdir()]:
                if path.name[0] != "." and path.suffix == _ENDING and path.name not in kept:
                    _remove(path)
        atomic_file.remove_leftovers(self.inn, time.time(), f"*{_ENDING}")


def read_result(order: Order, trusted_keys: tuple[str, ...], grid: Grid | None = None) -> ClassResult:
    """Return the class result of an order, checked as foreign input; `grid` is that of this node.

    Raise FleetDataError if no trusted key signed it, if it is not for nodes to take, or if it is one of another class
    or grid. Whether its generation is newer than the drive's is for the caller to check.
    """
    what = f"class result of {order.drive}"
    if not order.result:
        raise FleetDataError(f"{what}: is missing in the order")
    try:
        # Imported only when needed, since cryptography is an extra.
        from aio_tuned.fleet.signature import Keyring

        keyring = Keyring.of(coordinators=trusted_keys)
    except ConfigError as error:
        raise FleetDataError(f"{what}: its signature cannot be checked: {error}") from None
    found = keyring.read_result(order.result).document
    if found.hardware_class != order.hardware_class:
        raise FleetDataError(f"{name_of(found)}: not a result of class {order.hardware_class}; it is ignored")
    if grid and any({*getattr(grid, key)} != {*getattr(found.grid, key)} for key in SETTING_KEYS):
        raise FleetDataError(f"{name_of(found)}: has another grid than this node; it is ignored")
    check_usable(found)
    return found


class _File(NamedTuple):
    """A file of the spool: its content, or why it is refused."""

    path: Path
    content: bytes
    refused: str = ""

    @classmethod
    def ignored(cls, path: Path, why: str) -> _File:
        return cls(path, b"", f"{why}; it is ignored")

    def read(self) -> bytes:
        """Return the content; raise FleetDataError if the file is refused."""
        if self.refused:
            raise FleetDataError(f"{self.path}: {self.refused}")
        return self.content


def _report_name(drive: str, basis: Basis) -> str:
    return f"{drive}.{basis}{_ENDING}"


def _order(file: _File) -> Order:
    content = file.read()
    try:
        found = Order.from_json(content)
    except FleetDataError as error:
        raise FleetDataError(f"{file.path}: {error}") from None
    if file.path.name != f"{found.drive}{_ENDING}":
        raise FleetDataError(f"{file.path}: is an order for {found.drive}; it is ignored")
    return found


def _reports(folder: Path, names: Collection[str] | None = None) -> Iterator[DriveReport]:
    """Yield the reports in the folder, or those of these names, without what is none."""
    for file in _files(folder, MOST_FILES * len(BASES), names):
        with contextlib.suppress(FleetDataError):
            found = DriveReport.from_json(file.read())
            if file.path.name == _report_name(found.drive, found.basis):
                yield found


def _files(folder: Path, most: int, names: Collection[str] | None = None) -> Iterator[_File]:
    """Yield the files of the folder, one at a time and in the order of their names, or those of these names.

    Leave out hidden files, which are those that are being written. Read the names of `most` files at most.
    """
    try:
        descriptor = os.open(folder, _FOLDER)
    except FileNotFoundError:
        return
    except OSError as error:
        yield _File.ignored(folder, f"cannot be opened: {error.strerror}")
        return
    try:
        status = os.fstat(descriptor)
        if status.st_mode & _OTHERS_MAY_WRITE:
            yield _File.ignored(folder, f"writable by other users (mode {stat.S_IMODE(status.st_mode):04o})")
            return
        if names is None:
            try:
                names = _names(descriptor, most + 1)
            except OSError as error:
                yield _File.ignored(folder, f"cannot be read: {error.strerror}")
                return
        if len(names) > most:
            yield _File(folder, b"", f"has more than {most} files; the others are not read")
        for name in sorted(names)[:most]:
            if name[0] != ".":
                yield _file(descriptor, folder, name, status.st_uid)
    finally:
        os.close(descriptor)


def _names(folder: int, most: int) -> list[str]:
    """Return the names in an open folder, `most` of them at most."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, most)]


def _file(folder: int, path: Path, name: str, owner: int) -> _File:
    """Return the file of that name in the open folder, which `owner` has."""
    if not name.endswith(_ENDING) or not name.isprintable():
        return _File.ignored(path, f"{repr(name)[:_LONGEST_SHOWN]} in it is not a file of the spool")
    found = path / name
    try:
        # A device is not even opened. What takes the file's name before the next line is refused when it is open.
        refused = _why_not(os.stat(name, dir_fd=folder, follow_symlinks=False), owner)
        if refused:
            return _File.ignored(found, refused)
        descriptor = os.open(name, _FILE, dir_fd=folder)
        try:
            refused = _why_not(os.fstat(descriptor), owner)
            content = b"" if refused else _read(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return _File.ignored(found, f"cannot be read: {error.strerror}")
    refused = refused or _too_large(len(content))
    return _File.ignored(found, refused) if refused else _File(found, content)


def _read(descriptor: int) -> bytes:
    """Return the content, or as much of it as shows that it is too large; the file may grow meanwhile."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(MAX_ORDER_BYTES + 1)


def _why_not(status: os.stat_result, owner: int) -> str:
    """Return why a file of this status is not read, "" if it is."""
    if not stat.S_ISREG(status.st_mode):
        return "not a regular file"
    # None are left if the file was replaced after it was opened; its content is whole.
    if status.st_nlink > 1:
        return f"has {status.st_nlink} links"
    if status.st_uid not in (0, owner):
        return f"owned by user {status.st_uid}, and its folder by user {owner}"
    if status.st_mode & _OTHERS_MAY_WRITE:
        return f"writable by other users (mode {stat.S_IMODE(status.st_mode):04o})"
    return _too_large(status.st_size)


def _too_large(size_bytes: int) -> str:
    return f"larger than {MAX_ORDER_BYTES} bytes" if size_bytes > MAX_ORDER_BYTES else ""


def _make(folder: Path, uid: int | None) -> None:
    """Create the folder, if it is missing, with that owner, and with write access for no one else; raise OSError."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    descriptor = os.open(folder, _FOLDER)
    try:
        status = os.fstat(descriptor)
        if uid is not None and status.st_uid != uid:
            os.fchown(descriptor, uid, -1)
        if stat.S_IMODE(status.st_mode) != _MODE:
            os.fchmod(descriptor, _MODE)  # whatever the umask
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise PublishError(f"{path}: cannot be removed: {error.strerror}") from None
