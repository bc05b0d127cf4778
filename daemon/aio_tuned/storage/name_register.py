"""The register of drive names, which separates drives whose models, serial numbers or paths give the same file name.

The first drive with a name owns it, and is recorded in a file of that name in the state folder. The name of a later one
gets `-` and eight hexadecimal digits of its id's SHA-256 appended, and is recorded in the same way.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.devices import resolve, sysfs
from aio_tuned.errors import ProfileError, PublishError
from aio_tuned.profiles.files import load_profile
from aio_tuned.storage import atomic_file, layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aio_tuned.model.device import Device

# More than eight digits are used only if another drive owns the shorter name too.
_DIGITS = (8, 16, 32, 64)
# The owner of a name whose record cannot be read: no drive has this id.
_UNKNOWN = "?"


def _made_names(name: str, identifier: str) -> Iterator[str]:
    """Yield the names for a drive if another one owns its bare name."""
    import hashlib  # deferred: it loads OpenSSL

    digest = hashlib.sha256(identifier.encode()).hexdigest()
    yield from (f"{name}-{digest[:count]}" for count in _DIGITS)


class NameRegister:
    """The register of names; a claim that cannot be written holds in this process until `retry` writes it."""

    def __init__(self, profiles: Path, state: Path) -> None:
        self._folder = state / "names"
        self._known = (layout.catalog_folder(state), profiles)
        self._unwritten: dict[str, str] = {}
        self._namesakes: dict[str, tuple[str, str]] = {}

    @property
    def pending(self) -> bool:
        """Whether a claim could not be written."""
        return bool(self._unwritten)

    def name_of(self, name: str, identifier: str) -> str:
        """Return the name of the drive with that bare name and id, without claiming it."""
        owner = self._owner(name)
        if owner in ("", identifier):
            return name
        made = next(each for each in _made_names(name, identifier) if self._owner(each) in ("", identifier, _UNKNOWN))
        self._namesakes[made] = (name, "" if owner == _UNKNOWN else owner)
        return made

    def named(self, device: Device, sys: Path = sysfs.SYS) -> Device:
        """Return the device with its name and those of its members replaced by those of `name_of`."""
        members = resolve.members(device, sys) if device.members else ()
        return replace(
            device,
            name=self.name_of(device.name, device.id),
            member_names=tuple(sorted(self.name_of(member.name, member.id) for member in members)),
        )

    def claim(self, device: Device, sys: Path = sysfs.SYS) -> Device:
        """Return the device as `named` does, and record it permanently as the owner of its name."""
        self._record(device.name, self._owner(device.name) or device.id)
        named = self.named(device, sys)
        if named.name != device.name:
            self._record(named.name, named.id)
        return named

    def namesake(self, name: str) -> tuple[str, str] | None:
        """Return the bare name that a drive of this name would have, and the id of its owner, "" if unknown.

        Return None if this name is a bare name itself.
        """
        return self._namesakes.get(name)

    def retry(self) -> dict[str, PublishError]:
        """Write the claims that could not be written; return the errors by name."""
        troubles = {}
        for name, owner in list(self._unwritten.items()):
            try:
                self._create(name, owner)
                del self._unwritten[name]
            except PublishError as error:
                troubles[name] = error
        return troubles

    def remove_leftovers(self) -> None:
        """Remove temporary files that a kill or a power cut left."""
        atomic_file.remove_leftovers(self._folder, time.time(), "*")

    def _owner(self, name: str) -> str:
        """Return the id of the drive that owns the name or, without a record, has a profile of that name; else ""."""
        return self._recorded(name) or next(filter(None, (self._profiled(folder, name) for folder in self._known)), "")

    def _recorded(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8").strip() or _UNKNOWN
        except (FileNotFoundError, NotADirectoryError):
            return self._unwritten.get(name, "")
        except (OSError, UnicodeDecodeError):
            return _UNKNOWN

    @staticmethod
    def _profiled(folder: Path, name: str) -> str:
        try:
            return load_profile(folder / f"{name}.toml").device.id
        except ProfileError:
            return ""

    def _record(self, name: str, owner: str) -> None:
        """Record the owner of a name if the name has none."""
        if self._recorded(name):
            return
        try:
            self._create(name, owner)
        except PublishError:
            self._unwritten[name] = owner

    def _create(self, name: str, owner: str) -> None:
        """Write a record unless another process has written one; raise PublishError if that fails."""
        with contextlib.suppress(FileExistsError):
            atomic_file.make_folder(self._folder)
            atomic_file.create(self._folder / name, f"{owner}\n")
