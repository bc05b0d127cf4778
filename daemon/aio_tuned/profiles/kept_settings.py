"""The settings that a sweep keeps if they are good enough: the drive's earlier ones and those of its siblings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned.model.profile import Result, Skipped
from aio_tuned.profiles.siblings import find_siblings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.setting import Direction, Setting

EARLIER = "earlier"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSettings:
    """The profiles whose settings are kept; a check confirms the settings of `checked`, a sibling's profile."""

    earlier: Profile | None = None
    siblings: tuple[Profile, ...] = ()
    checked: Profile | None = None

    def _profiles(self) -> tuple[tuple[str, Profile], ...]:
        """Return the profiles in order of preference, each with its name for `kept_from`.

        Siblings are ordered by name, so that all drives of a model converge to the same setting where siblings differ.
        """
        if self.checked:
            return ((self.checked.device.name, self.checked),)
        own = ((EARLIER, self.earlier),) if self.earlier else ()
        siblings = sorted(self.siblings, key=lambda each: each.device.name)
        return (*own, *((each.device.name, each) for each in siblings))

    def settings(self, section: str) -> tuple[Setting, ...]:
        """Return the settings to keep in that section, in order of preference and without duplicates."""
        parts = (getattr(each, section) for _, each in self._profiles())
        return tuple(dict.fromkeys(part.setting for part in parts if not isinstance(part, Skipped)))

    def origin(self, section: str, setting: Setting) -> str | None:
        """Return the name of the profile that has this setting; None if none has it."""
        for name, each in self._profiles():
            part = getattr(each, section)
            if not isinstance(part, Skipped) and part.setting == setting:
                return name
        return None

    def checked_part(self, direction: Direction) -> Result | None:
        """Return the measured section that a check must confirm; None if there is none."""
        part = getattr(self.checked, direction, None)
        return part if isinstance(part, Result) else None


def kept_settings(device: Device, others: Iterable[Profile], checked: Profile | None) -> KeptSettings:
    """Return the settings to keep for the drive; `others` are all profiles of this host, including its own."""
    known = tuple(others)
    earlier = next(
        (each for each in known if each.device.id == device.id and each.evidence.measured_at is not None), None
    )
    siblings = tuple(each for each in find_siblings(device, known) if each.state == "measured")
    return KeptSettings(earlier=earlier, siblings=siblings, checked=checked)
