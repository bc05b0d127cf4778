"""The settings that a sweep keeps if they are good enough: the drive's own earlier ones, and those of a sibling."""

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
    """The profiles whose settings are kept; `checked` is the sibling's whose settings a check is to confirm."""

    earlier: Profile | None = None
    siblings: tuple[Profile, ...] = ()
    checked: Profile | None = None

    def _profiles(self) -> tuple[tuple[str, Profile], ...]:
        """Return the profiles in the order of preference, each with the name that `kept_from` gives it.

        Of siblings that agree any will do; where they differ the first by name is kept, so that all drives of a model
        come to have the same.
        """
        if self.checked:
            return ((self.checked.device.name, self.checked),)
        own = ((EARLIER, self.earlier),) if self.earlier else ()
        siblings = sorted(self.siblings, key=lambda each: each.device.name)
        return (*own, *((each.device.name, each) for each in siblings))

    def settings(self, section: str) -> tuple[Setting, ...]:
        """Return the settings to keep in that section, the first one first, without duplicates."""
        parts = (getattr(each, section) for _, each in self._profiles())
        return tuple(dict.fromkeys(part.setting for part in parts if not isinstance(part, Skipped)))

    def origin(self, section: str, setting: Setting) -> str | None:
        """Return whose setting it is."""
        for name, each in self._profiles():
            part = getattr(each, section)
            if not isinstance(part, Skipped) and part.setting == setting:
                return name
        return None

    def checked_part(self, direction: Direction) -> Result | None:
        """Return the section that a check is to confirm."""
        part = getattr(self.checked, direction, None)
        return part if isinstance(part, Result) else None


def kept_settings(device: Device, others: Iterable[Profile], checked: Profile | None) -> KeptSettings:
    """Return the settings to keep for the drive, given all profiles of this host, its own among them."""
    known = tuple(others)
    earlier = next(
        (each for each in known if each.device.id == device.id and each.evidence.measured_at is not None), None
    )
    siblings = tuple(each for each in find_siblings(device, known) if each.state == "measured")
    return KeptSettings(earlier=earlier, siblings=siblings, checked=checked)
