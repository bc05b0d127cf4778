"""The published profiles, which are for readers, and the catalog of the last measured profile of every drive."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned import trust
from aio_tuned.errors import AioTunedError, ConfigError, MissingProfileError, ProfileError, PublishError, TargetError
from aio_tuned.journald.events import EventId, fields
from aio_tuned.model.profile import Profile, Unmeasured
from aio_tuned.profiles import codec, override
from aio_tuned.profiles.decision import measured_when
from aio_tuned.profiles.files import load_trusted, profile_files
from aio_tuned.storage import atomic_file, forget, layout, targets, verified
from aio_tuned.storage.name_register import NameRegister

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from aio_tuned.model.verdict import Verdict

_log = logging.getLogger(__name__)


def find_profiles(profiles: Path, target: str | None, register: NameRegister) -> list[Path]:
    """Return the files of all profiles, or of the one that `target` names; `register` has the drives' names.

    `target` is a profile's file, a profile's name, or any TARGET of `aio-tuned tune`. Raise TargetError if it names no
    profile, or if the folder cannot be read.
    """
    if target is None:
        try:
            return profile_files(profiles)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TargetError(f"{profiles}: {error.strerror}") from None
    # os.path.isfile() is used because Path.is_file() raises if the folder may not be searched.
    named = targets.find_drive(
        target,
        lambda name: os.path.isfile(profiles / f"{name}.toml"),  # noqa: PTH113
        f"{target}: neither a path nor a profile in {profiles}; aio-tuned show lists the profiles",
        register,
    )
    path = named.file or profiles / f"{named.name}.toml"
    if not os.path.isfile(path):  # noqa: PTH113
        raise TargetError(f"{target}: {named.node} has no profile ({path}); run aio-tuned tune {target}")
    return [path]


def apply_override(published: Profile, profiles: Path) -> Profile:
    """Return the profile with the administrator's override from override.d applied, as readers get it.

    Raise ConfigError if the override cannot be read, is invalid, or may be written or removed by users other than root.
    """
    folder = profiles / "override.d"
    path = folder / f"{published.device.name}.toml"
    try:
        trust.check(folder.stat(), folder, profiles)
        text = trust.read_text(path)
    except FileNotFoundError:
        return published
    except trust.UntrustedError as error:
        raise ConfigError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return override.merge(published, override.parse(text, str(path)))


class ProfileStore:
    """The folder of published profiles and the catalog, with the writes that are still pending.

    A write that fails stays pending until `retry` succeeds; `troubles` has the error of each such profile, by name. The
    catalog is read from disk each time, because `aio-tuned tune` adds profiles too. `register` has the owners of names.
    `publishing` is called with each name and profile, as readers will get it, before it is written, and with None
    before it is withdrawn. Readers get the kept verdicts that `holds` for their profile; by default none.
    """

    def __init__(
        self, profiles: Path, state: Path, holds: Callable[[Verdict, Profile], bool] = lambda _verdict, _profile: False
    ) -> None:
        self._profiles = profiles
        self._state = state
        self._holds = holds
        self._catalog = layout.catalog_folder(state)
        self.register = NameRegister(profiles, state)
        self._wanted: dict[str, Profile | None] = {}
        self._unkept: dict[str, Profile] = {}
        self._unclaimed: dict[str, PublishError] = {}
        self._told: set[str] = set()
        self.troubles: dict[str, str] = {}
        self._logged: set[tuple[str, str]] = set()
        self._merged: dict[str, Profile] = {}
        # What was published last, without the verdicts and overrides, and as readers get it.
        self._last: dict[str, tuple[Profile, Profile]] = {}
        self.publishing: Callable[[str, Profile | None], None] = lambda _name, _profile: None

    @property
    def pending(self) -> bool:
        """Whether a write has failed and must be tried again."""
        return bool(self._wanted or self._unkept or self.register.pending)

    def shows(self, name: str) -> bool:
        """Return whether the last publication or withdrawal of that name is complete."""
        return name not in self._wanted

    @property
    def overridden(self) -> set[str]:
        """The names of the profiles that an override changes."""
        return set(self._merged)

    def as_read(self, shown: Profile) -> Profile | None:
        """Return a published profile as readers get it, with its override; None if its write is pending."""
        name = shown.device.name
        return self._merged.get(name, shown) if self.shows(name) else None

    def load(self, name: str) -> Profile | None:
        """Return the last measured profile of the drive of that name; None without one."""
        return self._unkept.get(name) or self._load_file(self._catalog / f"{name}.toml")

    def load_all(self) -> tuple[Profile, ...]:
        """Return the last measured profile of every drive."""
        try:
            paths = profile_files(self._catalog)
        except OSError:
            paths = []
        kept = (self._load_file(path) for path in paths if path.stem not in self._unkept)
        return (*self._unkept.values(), *(found for found in kept if found))

    def _load_file(self, path: Path) -> Profile | None:
        """Return the profile in a file of the catalog; None if it is missing or damaged.

        Log each error of a damaged file once.
        """
        try:
            found = load_trusted(path)
        except MissingProfileError:
            return None
        except ProfileError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                _log.warning("%s; profile ignored; drive treated as not measured", error)
            return None
        return found

    def save(self, measured: Profile) -> bool:
        """Save a measured profile in the catalog; return whether it was written (else the write is pending)."""
        # The verdicts are kept in files of their own, and may cease to hold.
        self._unkept[measured.device.name] = replace(measured, verified=())
        self.retry()
        return measured.device.name not in self._unkept

    def publish(self, shown: Profile) -> bool:
        """Publish this profile to readers; return whether it was written (else the write is pending)."""
        self._wanted[shown.device.name] = shown
        self.retry()
        return shown.device.name not in self._wanted

    def review(self) -> None:
        """Publish those profiles again whose verdicts have changed: a consumer was verified or updated."""
        for published, as_read in list(self._last.values()):
            if verified.with_verdicts(as_read, self._state, self._holds) != as_read:
                self.publish(published)

    def withdraw(self, name: str) -> None:
        """Remove the published profile of that name."""
        self._wanted[name] = None
        self.retry()

    def forget(self, name: str) -> int:
        """Remove all files of the drive of that name, and cancel its pending writes; return the number of files.

        Raise PublishError or PrivilegeError if a file cannot be removed.
        """
        for pending in (self._wanted, self._unkept, self._merged, self.troubles):
            pending.pop(name, None)
        return forget.remove(self._profiles, self._catalog.parent, name)

    def adopt_published(self, grid_points: int) -> None:
        """Save every published profile of a full sweep, if the catalog has none or an older one of that drive.

        Skip provisional profiles, those of fewer than `grid_points` settings, and those with overrides, whose values
        were not measured.
        """
        for found in self._published():
            merged = any(isinstance(part, Unmeasured) for part in (found.read, found.write, found.combined))
            if found.state == "provisional" or merged or found.evidence.grid_points < grid_points:
                continue
            known = self.load(found.device.name)
            if known is None or (known.device.id == found.device.id and measured_when(known) < measured_when(found)):
                self.save(found)

    def withdraw_absent(self, present: Iterable[str]) -> None:
        """Withdraw every profile whose drive is not among `present`."""
        names = set(present)
        for folder in (self._profiles, self._catalog):
            atomic_file.remove_leftovers(folder, time.time())
        self.register.remove_leftovers()
        for found in self._published():
            if found.device.name not in names:
                self.withdraw(found.device.name)

    def _published(self) -> Iterator[Profile]:
        """Yield the profiles that readers get, without copies under other names and files that are not root's."""
        try:
            paths = profile_files(self._profiles)
        except OSError:
            return
        for path in paths:
            try:
                found = load_trusted(path)
            except ProfileError:
                continue
            if found.device.name == path.stem:
                yield found

    def retry(self) -> bool:
        """Try the pending writes again; return whether all have succeeded."""
        for name in {*self._unkept, *self._wanted, *self._unclaimed}:
            self.troubles.pop(name, None)
        self._unclaimed = self.register.retry()
        for name, trouble in self._unclaimed.items():
            self._complain(name, trouble)
        for name, measured in list(self._unkept.items()):
            try:
                atomic_file.make_folder(self._catalog)
                atomic_file.publish(self._catalog / f"{name}.toml", codec.render(measured))
                del self._unkept[name]
            except AioTunedError as error:
                self._complain(name, error)
        for name, shown in list(self._wanted.items()):
            try:
                self._write(name, shown)
                del self._wanted[name]
            except AioTunedError as error:
                self._complain(name, error)
        self._logged = {(name, words) for name, words in self._logged if name in self.troubles}
        return not self.pending

    def _complain(self, name: str, error: AioTunedError) -> None:
        """Keep the error for the status; log it once only, because a full disk may last for days."""
        self.troubles[name] = words = str(error)
        if (name, words) not in self._logged:
            self._logged.add((name, words))
            _log.error("%s", words)

    def _write(self, name: str, shown: Profile | None) -> None:
        path = self._profiles / f"{name}.toml"
        self._merged.pop(name, None)
        self._last.pop(name, None)
        if shown is None:
            self.publishing(name, None)
            try:
                path.unlink()
            except FileNotFoundError:
                return
            except OSError as error:
                raise PublishError(f"{path}: cannot be removed: {error.strerror}") from None
            _log.info("%s: profile withdrawn", name, extra=fields(EventId.PROFILE_WITHDRAWN, name))
            return
        published = shown
        try:
            merged = apply_override(shown, self._profiles)
            if merged != shown:
                self._merged[name] = merged
            shown = merged
        except ConfigError as error:
            # The profile is published without the override; the log and the status give the administrator the reason.
            self._complain(name, error)
        shown = verified.with_verdicts(shown, self._state, self._holds)
        text = codec.render(shown)
        self.publishing(name, shown)
        self._last[name] = published, shown
        try:
            if path.read_text(encoding="utf-8") == text:
                return
        except (OSError, UnicodeDecodeError):
            pass
        atomic_file.make_folder(self._profiles)
        atomic_file.publish(path, text)
        extra = fields(EventId.PROFILE_PUBLISHED, name, state=shown.state, profile=path)
        _log.info("%s: profile published: %s", name, shown.state, extra=extra)
