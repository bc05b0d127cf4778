"""Overrides, which are settings by the administrator that replace measured settings for readers.

The override of the profile NAME.toml is in override.d/NAME.toml; aio-tuned never writes these files.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aio_tuned import formatting
from aio_tuned.config.parsing import SETTING_KEYS, table
from aio_tuned.devices.names import clean_text
from aio_tuned.errors import ConfigError
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.model.profile import Profile

_SECTIONS = ("read", "write", "combined")


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """The parameters in one file, by section and name; `origin` names the file in messages and findings."""

    origin: str
    sections: Mapping[str, Mapping[str, int | bool]] = field(default_factory=dict)


def parse(text: str, origin: str) -> Override:
    """Return the override in the text of a file; raise ConfigError with origin, section and key if it is invalid."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of 5,000 digits and 1,000 brackets are no TOMLDecodeError
        raise ConfigError(f"{origin}: not valid TOML: {error}") from None
    sections = {}
    for section, given in document.items():
        if section not in _SECTIONS or not isinstance(given, dict):
            raise ConfigError(f"{origin}: unknown section [{section}]; the sections are {', '.join(_SECTIONS)}")
        try:
            sections[section] = table(given, SETTING_KEYS)
        except ValueError as error:
            raise ConfigError(f"{origin}: [{section}] {error}") from None
    return Override(origin=origin, sections=sections)


def _shown(key: str, value: int | bool) -> str:
    return formatting.size(value) if key == "block_size" else str(value).lower()


def _finding(section: str, part: object, wanted: Mapping[str, int | bool], origin: str) -> str:
    """Return the finding on an overridden section, the only place where the profile keeps the measured setting."""
    words = []
    for key, value in wanted.items():
        best = (
            f" (measured best: {_shown(key, getattr(part.setting, key))})"
            if isinstance(part, (Result, CombinedResult))
            else ""
        )
        words.append(f"{key} = {_shown(key, value)}{best}")
    return f"[{section}] {', '.join(words)}: set by {clean_text(origin)}"


def merge(profile: Profile, override: Override) -> Profile:
    """Return the profile with the parameters of the override and a finding for each changed section.

    A changed section loses its figures, since they were measured with another setting. Parameters that the override
    omits keep their values; in a skipped section they get the defaults.
    """
    changes: dict[str, Any] = {}
    findings = []
    for section, wanted in override.sections.items():
        part: Result | CombinedResult | Unmeasured | Skipped = getattr(profile, section)
        base = DEFAULT_SETTING if isinstance(part, Skipped) else part.setting
        setting = replace(base, **wanted)  # type: ignore[arg-type]  # parse() has checked the types
        if not wanted or (setting == base and isinstance(part, (Result, CombinedResult))):
            continue
        changes[section] = Unmeasured(setting=setting, overridden=tuple(wanted))
        findings.append(_finding(section, part, wanted, override.origin))
    if not changes:
        return profile
    evidence = replace(profile.evidence, findings=(*profile.evidence.findings, *findings))
    return replace(profile, evidence=evidence, **changes)
