"""A consumer's configuration as text: a new one with what is exported, or an existing one with that set in it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aio_tuned.consumers.export import Entry
from aio_tuned.consumers.merge import env_editor, json_editor, toml_editor, yaml_editor
from aio_tuned.consumers.merge.document import put, same, shown
from aio_tuned.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export

_SET = {
    "json": json_editor.set_value,
    "toml": toml_editor.set_value,
    "yaml": yaml_editor.set_value,
    "env": env_editor.set_env,
    "fio": env_editor.set_fio,
}
# Where there is another's parser for all of the format, it has the last word.
_LOAD = {"toml": toml_editor.load, "yaml": yaml_editor.load}
_MARK = "\ufeff"


def render(export: Export) -> str:
    """A configuration that holds the export alone; its notes are comments where the format has them.

    UsageError if a value cannot be written in that format.
    """
    _check(export)
    if export.format == "yaml":  # ruamel.yaml is for merging only
        text = yaml_editor.render(_document(None, export))
    else:
        text = "{}\n" if export.format == "json" else ""
        for path, value in export.values.items():
            text = _SET[export.format](text, path, value)
    notes = [f"# {line}\n" for note in export.notes for line in note.splitlines()]
    return text if export.format == "json" else "".join(notes) + text


def merge(export: Export, text: str, where: str) -> str:
    """The text, the content of the file `where`, with the export's values set and all else as it was.

    ConfigError, which names the file, if that cannot be; UsageError if a value cannot be written in that format.
    """
    _check(export)
    mark = text[: text.startswith(_MARK)]
    old = new = text[len(mark) :]
    if not old.strip():
        return mark + render(export)
    try:
        for path, value in export.values.items():
            _SET[export.format](old, path, value)  # each for itself: messages name the lines of the file as it is
        for path, value in export.values.items():
            new = _SET[export.format](new, path, value)
        _compare(export, old, new)
    except (ValueError, ConfigError) as error:
        raise ConfigError(f"{where}: {error}") from None
    except RecursionError:
        raise ConfigError(f"{where}: too deeply nested: set the settings by hand") from None
    return mark + new


def _compare(export: Export, old: str, new: str) -> None:
    """ValueError if another's parser finds anything else in the new text than in the old one with the values set."""
    load = _LOAD.get(export.format)
    if load and not same(load(new), _document(load(old), export)):
        raise ValueError("the settings cannot be set here without changing others: set them by hand")


def _document(document: Any, export: Export) -> Any:  # noqa: ANN401 - whatever a parser gives
    for path, value in export.values.items():
        document = put(document, path, value)
    return document


def _check(export: Export) -> None:
    """Refuse what is no text in any format: a path whose bytes are not UTF-8."""
    for path, value in export.values.items():
        matched = [word for key in path if isinstance(key, Entry) for _, word in key.match]
        try:
            "".join(str(word) for word in (*matched, value)).encode()
        except UnicodeEncodeError:
            raise UsageError(f"{shown(path)}: {value!r} is not valid UTF-8: choose another path") from None
