"""The rules of [[export]]: files that the daemon keeps equal to the settings of a consumer for a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio_tuned.config.parsing import absolute_path, block_size, paths, size_bytes, table, text, word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# In these alone are files written. The first is lost at a reboot, the second is kept.
FOLDERS = (Path("/run/aio-tuned/export"), Path("/etc/aio-tuned/export"))
# There is no owner: the daemon's unit has no right to give files away.
_MODES = {"0600": 0o600, "0640": 0o640, "0644": 0o644}
_REQUIRED = ("consumer", "path", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRule:
    """One [[export]] table: the consumer, the path whose drive it uses, and the file with its settings.

    `max_block_size` and `request_size`, in bytes, and `for_version` are the options of `aio-tuned export`.
    """

    consumer: str
    path: Path
    file: Path
    mode: int = 0o644
    max_block_size: int | None = None
    request_size: int | None = None
    for_version: str | None = None

    def to_table(self) -> dict[str, object]:
        """Return the table as the file has it."""
        given = {
            "consumer": self.consumer,
            "path": str(self.path),
            "file": str(self.file),
            "mode": f"{self.mode:04o}",
            "max_block_size": self.max_block_size,
            "request_size": self.request_size,
            "for_version": self.for_version,
        }
        return {key: value for key, value in given.items() if value is not None}


def _plain_path(value: object) -> Path:
    """Return an absolute path of printable characters without "..", of which each file and folder has one only."""
    path = absolute_path(value)
    if ".." in path.parts or not str(path).isprintable():
        raise ValueError(f"{str(path)!r} contains .. or a control character; write the path without it")
    return path


def _file(value: object) -> Path:
    path = _plain_path(value)
    if path.name.startswith(".") or path == Path("/"):
        raise ValueError(f'"{path}" is not the path of a file that is visible; write a name that begins with no dot')
    return path


parse_folders = paths("/run/aio-tuned/export", _plain_path)
RULE_KEYS: Mapping[str, Callable[[object], Any]] = {
    "consumer": text,
    "path": absolute_path,
    "file": _file,
    "mode": lambda value: _MODES[word(*_MODES)(value)],
    "max_block_size": block_size,
    "request_size": size_bytes,
    "for_version": text,
}


def parse_rule(given: Mapping[str, object]) -> ExportRule:
    """Return the rule of one [[export]] table; raise ValueError, with the key that is wrong or missing."""
    parsed = table(given, RULE_KEYS)
    for key in _REQUIRED:
        if key not in parsed:
            raise ValueError(f"lacks {key}; set {', '.join(_REQUIRED)}")
    return ExportRule(**parsed)


def check(rules: Sequence[ExportRule], allowed: Sequence[Path], own: Sequence[Path]) -> None:
    """Raise ValueError if a file is in none of the allowed folders, or is that of two rules.

    `own` are the daemon's own folders, in which no rule may write.
    """
    for folder in allowed:
        if folder in own:
            raise ValueError(f"{folder}: a folder of [paths], whose files are the daemon's own; name a folder below it")
    seen = set()
    for rule in rules:
        if rule.file.parent not in allowed:
            raise ValueError(
                f"{rule.file}: not directly in a folder of [publish] export_folders"
                f" ({', '.join(map(str, allowed)) or 'none'}); move it, or add its folder"
            )
        if rule.file in seen:
            raise ValueError(f"{rule.file}: the file of two rules; give each rule a file of its own")
        seen.add(rule.file)
