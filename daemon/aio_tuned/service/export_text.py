"""The content of the file of an [[export]] rule: the settings of a drive, or the reason why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio_tuned import consumers, formatting
from aio_tuned.config.parsing import did_you_mean
from aio_tuned.consumers import rendering
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import ConfigError, NoProfileError, UsageError
from aio_tuned.reader.api import drive_defaults
from aio_tuned.reader.section import drive_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from aio_tuned.config.export_rules import ExportRule
    from aio_tuned.consumers.export import Export
    from aio_tuned.reader import DriveSettings
    from aio_tuned.reader.types import FoundProfile
    from aio_tuned.service.status import ExportState

# The beginning of each file of a rule; only files that begin so are replaced and removed.
BEGINS = f"{rendering.GENERATED} for [[export]] "
# An empty document that every reader of the format takes; environment files and TOML may have comments alone.
_EMPTY = {"yaml": "{}\n", "fio": "[global]\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The text of a file, what it has, the name of the drive whose settings they are, and the reason if it has none."""

    text: str
    state: ExportState
    device: str = ""
    reason: str = ""


def check(rules: Iterable[ExportRule]) -> None:
    """Raise ConfigError for a rule whose file can never be written: a wrong consumer, format, path or option."""
    usual = drive_defaults()
    for rule in rules:
        try:
            if rule.consumer not in consumers.NAMES:
                near = did_you_mean(rule.consumer, consumers.NAMES) or f"; use one of {', '.join(consumers.NAMES)}"
                raise UsageError(f"unknown consumer {rule.consumer!r}{near}")  # noqa: TRY301 - reported as those below
            of_drive(rule, usual)
        except UsageError as error:
            raise ConfigError(f"[[export]] {rule.file}: {error}") from None


def of_path(rule: ExportRule, found: FoundProfile | str) -> Content:
    """Return the file for the profile of the rule's path, or for the reason why it has none."""
    if isinstance(found, str):
        return Content(text=without_drive(rule, found), state="defaults", reason=found)
    try:
        text = of_drive(rule, drive_settings(found))
    except NoProfileError as error:
        return of_path(rule, str(error))
    except UsageError as error:
        reason = str(error)
        return Content(text=without_drive(rule, reason), state="failed", reason=f"{rule.file}: {reason}")
    return Content(text=text, state="settings", device=found.profile.device.name)


def of_drive(rule: ExportRule, drive: DriveSettings) -> str:
    """Return the file with the settings of the drive.

    Raise UsageError if the consumer's format has no comments, or if the path, an option or a value is not valid.
    """
    made = _export(rule, drive)
    source = drive.combined.source
    about = [f"Settings of {source.device} ({source.state}).", *_remarks(drive)]
    return _head(rule, about) + rendering.render(made)


def without_drive(rule: ExportRule, reason: str) -> str:
    """Return the file without settings, which gives the reason."""
    try:
        empty = _EMPTY.get(_export(rule, drive_defaults()).format, "")
    except UsageError:
        empty = ""
    return _head(rule, [f"No settings, so {rule.consumer} uses its own defaults: {reason}."]) + empty


def _export(rule: ExportRule, drive: DriveSettings) -> Export:
    options = ExportOptions(
        max_block_size=rule.max_block_size, request_bytes=rule.request_size, for_version=rule.for_version
    )
    made = consumers.export_for(rule.consumer, drive, str(rule.path), options)
    if made.format == "json":
        raise UsageError(
            f"{rule.consumer} reads JSON, which has no comments, so the file could not be told from one that you wrote;"
            f" start the program with aio-tuned run --for {rule.consumer}, or use aio-tuned export {rule.consumer}"
            " --merge"
        )
    return made


def _remarks(drive: DriveSettings) -> Iterator[str]:
    """Yield the reader's remarks on each direction."""
    for settings in (drive.read, drive.write, drive.combined):
        if settings.source.note:
            yield f"{settings.direction}: {settings.source.note}."


def _head(rule: ExportRule, about: Sequence[str]) -> str:
    # Each ends in a full stop, because systemd continues a comment that ends in a backslash.
    first = f"{BEGINS}{rule.consumer} {rule.path}. The daemon replaces it, and your changes with it."
    return "".join(f"{formatting.printable(line)}\n" for line in (first, *(f"# {line}" for line in about)))
