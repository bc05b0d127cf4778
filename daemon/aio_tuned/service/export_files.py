"""The files of the [[export]] rules, which are kept equal to what each rule's consumer gets for its path."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aio_tuned.errors import AioTunedError, PublishError
from aio_tuned.reader.lookup import find_disk_profile, found_in
from aio_tuned.reader.types import Disk
from aio_tuned.service import export_text
from aio_tuned.service.export_places import ExportPlaces
from aio_tuned.service.status import ExportStatus, told
from aio_tuned.storage.root_folder import root_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from aio_tuned.config.export_rules import ExportRule
    from aio_tuned.config.load import Config
    from aio_tuned.model.profile import Profile
    from aio_tuned.reader.types import FoundProfile
    from aio_tuned.service.status import ExportState

_log = logging.getLogger(__name__)

# Users and container hosts may mount in a loop.
_PAUSE_S = 0.1
_BEGINS = export_text.BEGINS.encode()


class ExportFiles:
    """The files of the present rules, which `follow` updates after each call of `look`.

    A profile that is about to be published is passed to `publishing`, so that each of its files is written before
    readers find the profile. `find` returns the disk of a path, and `changed` is called when a status has changed.
    """

    def __init__(self, config: Callable[[], Config], find: Callable[[Path], Disk], changed: Callable[[], None]) -> None:
        self._config = config
        self._changed = changed
        self._places = ExportPlaces(find, self.look)
        self._statuses: dict[Path, ExportStatus] = {}
        self._tidied: Config | None = None
        # The published profiles that were found, until one changes.
        self._found: dict[Disk, FoundProfile | str] = {}
        self._news = asyncio.Event()
        self._all = True
        self._then: list[Callable[[], None]] = []

    @property
    def statuses(self) -> tuple[ExportStatus, ...]:
        """Return the status of each rule."""
        known = (self._statuses.get(rule.file) for rule in self._config().export)
        return tuple(status for status in known if status)

    @property
    def troubles(self) -> tuple[str, ...]:
        """Return a sentence for each rule whose file is not as it must be."""
        return tuple(f"[[export]] {status.reason}" for status in self.statuses if status.state == "failed")

    # --- when files are written --------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Look for the drives of the rules' paths; call this before any profile is published."""
        if rules := self._config().export:
            await self._places.look(rule.path for rule in rules)

    def look(self, *, everything: bool = False, then: Callable[[], None] | None = None) -> None:
        """Have `follow` look for the drives of all paths again, write the files of those that changed, and call `then`.

        With `everything`, all files are compared and written.
        """
        self._all |= everything
        if then:
            self._then.append(then)
        self._news.set()

    async def follow(self) -> None:
        """Do what `look` asks for, without end and at most ten times a second."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.update()
            await asyncio.sleep(_PAUSE_S)

    async def update(self) -> None:
        """Do what `look` asks for, and remove the files of former rules after the configuration was read."""
        everything, self._all = self._all, False
        then, self._then = self._then, []
        try:
            if self._config().export:
                await self._update(everything=everything)
            if self._config() is not self._tidied:
                self._tidy(self._config())
        except Exception:  # noqa: BLE001 - the next look must find the task alive
            _log.exception("[[export]]: internal error")
        for call in then:
            call()

    async def _update(self, *, everything: bool) -> None:
        moved = await self._places.look(rule.path for rule in self._config().export)
        self._found.clear()
        for rule in self._config().export:
            if everything or rule.path in moved or rule.file not in self._statuses:
                self._write(rule, self._find_profile(rule))
                await asyncio.sleep(0)  # other events are handled between two of a hundred files

    def publishing(self, name: str, profile: Profile | None) -> None:
        """Write the files of the drive of that name, whose profile is about to be published, or to be withdrawn."""
        self._found.clear()
        for rule in self._config().export:
            if profile is None:
                status = self._statuses.get(rule.file)
                if status and status.device == name:
                    self._write(rule, f"the profile of {name} was withdrawn")
                    self.look(everything=True)  # finds the reason, or another profile
                continue
            place = self._places.get(rule.path)
            if isinstance(place, Disk) and (
                found := found_in(place, self._config().profiles / f"{name}.toml", profile)
            ):
                self._write(rule, found)

    def close(self) -> None:
        """Wait for no path any more; the files stay."""
        self._places.close()

    # --- one file ----------------------------------------------------------------------------------------------

    def _find_profile(self, rule: ExportRule) -> FoundProfile | str:
        """Return the published profile of the rule's path, or the reason why it has none."""
        place = self._places.get(rule.path)
        if isinstance(place, str):
            return place
        if place not in self._found:
            try:
                self._found[place] = find_disk_profile(place, self._config().profiles)
            except AioTunedError as error:
                self._found[place] = str(error)
        return self._found[place]

    def _write(self, rule: ExportRule, found: FoundProfile | str) -> None:
        """Write the file of a rule for the profile, or for the reason why there is none, and note how that went."""
        state: ExportState = "failed"
        device = ""
        try:
            content = export_text.of_path(rule, found)
            state, device, reason = content.state, content.device, content.reason
            with root_folder(rule.file.parent, _BEGINS) as folder:
                folder.replace(rule.file.name, content.text, rule.mode)
        except PublishError as error:
            state, reason = "failed", str(error)
        except Exception as error:  # noqa: BLE001 - the profile must be published anyway
            _log.exception("[[export]] %s: internal error", rule.file)
            state, reason = "failed", f"{rule.file}: {type(error).__name__}: {error}; report this bug in aio-tuned"
        status = ExportStatus(
            consumer=rule.consumer,
            path=str(rule.path),
            file=str(rule.file),
            state=state,
            device=device,
            reason=reason,
        )
        if self._statuses.get(rule.file) != status:
            self._statuses[rule.file] = status
            _log.log(logging.WARNING if state == "failed" else logging.INFO, "[[export]] %s", told(status))
            self._changed()

    def _tidy(self, config: Config) -> None:
        """Remove the files of former rules, and what a kill or a power cut has left of others."""
        before = {*self._tidied.export_folders} if self._tidied else set()
        files = {rule.file for rule in config.export}
        for file in self._statuses.keys() - files:
            del self._statuses[file]
        for path in sorted({*before, *config.export_folders}):
            try:
                if path.exists():
                    self._tidy_folder(path, files)
            except (OSError, PublishError) as error:
                _log.warning("[[export]] %s", error)
        self._tidied = config
        self._changed()

    def _tidy_folder(self, path: Path, files: Collection[Path]) -> None:
        with root_folder(path, _BEGINS) as folder:
            for name in folder.names():
                if path / name not in files and folder.remove(name):
                    _log.info("[[export]] %s: removed, because no rule names it", path / name)
            for file in files:
                if file.parent == path:
                    folder.remove_leftovers(file.name)
