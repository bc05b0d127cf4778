"""Merging an export into the text of an existing configuration."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from aio_tuned.consumers.merge import env_editor, json_editor, yaml_editor
from aio_tuned.consumers.merge.document import put, same
from aio_tuned.consumers.rendering import check, render
from aio_tuned.errors import ConfigError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export

_EDITORS = {"json": json_editor.set_value, "yaml": yaml_editor.set_value, "env": env_editor.set_value}
# Environment files have no loader: they are changed by single lines, so no other value can change.
_LOAD = {"json": json_editor.load, "yaml": yaml_editor.load}
_MARK = "\ufeff"
# The name alone tells the format of a file that is empty, or has only comments or plain assignments.
_FORMAT_OF_NAME = {
    ".ini": "INI",
    ".json": "JSON",
    ".properties": "properties",
    ".service": "unit",
    ".toml": "TOML",
    ".xml": "XML",
    ".yaml": "YAML",
    ".yml": "YAML",
}
_NAMES = {"json": ("JSON",), "yaml": ("YAML", "JSON"), "env": ("environment",)}


def is_mergeable(export: Export) -> bool:
    """Return whether the export can be merged into files of its format."""
    return export.format in _EDITORS


def merge(export: Export, text: str, where: str) -> str:
    """Return the text, the content of the file `where`, with the export's values set and all else unchanged.

    The export must be is_mergeable(). Raise ConfigError, which names the file, if the values cannot be set, and
    UsageError if a value cannot be written in that format.
    """
    check(export)
    named = _FORMAT_OF_NAME.get(PurePath(where).suffix.lower())
    if named and named not in _NAMES[export.format]:
        wanted = _NAMES[export.format][0]
        raise ConfigError(f"{where}: named as a file of another format ({named}); pass a file of the format {wanted}")
    mark = text[: text.startswith(_MARK)]
    old = new = text[len(mark) :]
    if not old.strip():
        return mark + render(export)
    set_value = _EDITORS[export.format]
    try:
        for path, value in export.values.items():
            set_value(old, path, value)  # tried on the old text, so that messages have the line numbers of the file
        for path, value in export.values.items():
            new = set_value(new, path, value)
        _check_all_else(export, old, new)
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{where}: too deeply nested; add the settings by hand") from None
    return mark + new


def _check_all_else(export: Export, old: str, new: str) -> None:
    """Raise ValueError unless the new text, when parsed, is the old one with the values set."""
    load = _LOAD.get(export.format)
    if load is None:
        return
    document = load(old)
    for path, value in export.values.items():
        document = put(document, path, value)
    try:
        is_so = same(load(new), document)
    except ValueError:
        is_so = False
    if not is_so:
        raise ValueError("the settings cannot be added without changing other values; add them by hand")
