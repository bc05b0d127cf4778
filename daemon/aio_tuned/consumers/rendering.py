"""An export as text: a new configuration, or the fragment to paste into an existing one."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from aio_tuned.consumers.export import Entry
from aio_tuned.consumers.merge.document import put, shown
from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import Export, Value
    from aio_tuned.consumers.merge.document import Path

_TOML_KEY = re.compile(r"[A-Za-z0-9_-]+")
# Keys that YAML 1.1 (PyYAML, which most consumers use) and YAML 1.2 read alike without quotes.
_YAML_KEY = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z_][\w.-]*", re.ASCII | re.IGNORECASE)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A "#" begins a comment only after a blank; characters beyond ASCII have no special meaning for the readers.
_ENV_WORD = re.compile(r"(?!#)[\w./:,@%+=#\u0080-\U0010ffff-]*")


def render(export: Export) -> str:
    """Return a configuration with the export alone; its notes are comments if the format has comments.

    Raise UsageError if a value cannot be written in that format.
    """
    check(export)
    if export.format == "json":
        return json.dumps(_document(export), indent=4) + "\n"
    notes = (f"# {line}" for note in export.notes for line in note.splitlines())
    return "".join(f"{line}\n" for line in (*notes, *_LINES[export.format](export)))


def check(export: Export) -> None:
    """Raise UsageError for a value that no format can hold, such as a path whose bytes are not UTF-8."""
    for path, value in export.values.items():
        matched = [word for key in path if isinstance(key, Entry) for _, word in key.match]
        try:
            "".join(str(word) for word in (*matched, value)).encode()
        except UnicodeEncodeError:
            raise UsageError(f"{shown(path)}: {value!r} is not valid UTF-8; choose another path") from None


def _document(export: Export) -> Any:  # noqa: ANN401 - a plain document
    made = None
    for path, value in export.values.items():
        made = put(made, path, value)
    return made


def _quoted(text: str) -> str:
    """Return the text as a double-quoted string of TOML and of YAML alike."""
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'


# --- YAML ------------------------------------------------------------------------------------------------


def _yaml_lines(made: Any, pad: str = "") -> Iterator[str]:  # noqa: ANN401 - a plain table or list
    """Yield the lines of a table or list as a block, indented by `pad`."""
    if isinstance(made, list):
        for item in made:
            first, *others = _yaml_lines(item, pad + "  ")
            yield f"{pad}- {first.lstrip()}"
            yield from others
        return
    for key, value in made.items():
        name = key if is_yaml_key(key) else _quoted(key)
        if isinstance(value, (dict, list)):
            yield f"{pad}{name}:"
            yield from _yaml_lines(value, pad + "  ")
        else:
            yield f"{pad}{name}: {yaml_scalar(value)}"


def is_yaml_key(text: str) -> bool:
    """Return whether every YAML reader takes the text without quotes for this key."""
    return bool(_YAML_KEY.fullmatch(text))


def yaml_scalar(value: Value) -> str:
    """Return the value as YAML 1.1 and 1.2 read it alike; strings are quoted, so that no reader takes "on" for true."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    word = repr(value)
    return word if "." in word else word.replace("e", ".0e")  # 1e-05 is a string in YAML 1.1


# --- TOML ------------------------------------------------------------------------------------------------


def _toml_lines(export: Export) -> Iterator[str]:
    """Yield the document's lines, with a blank line between its parts."""
    blocks = list(_toml_blocks(_document(export), "", ""))
    for number, block in enumerate(blocks):
        yield from ("", *block) if number else block


def _toml_blocks(table: dict[str, Any], name: str, header: str) -> Iterator[list[str]]:
    """Yield the lines of a table, then those of the tables in it, each with its header."""
    members = [(_toml_key(key), value) for key, value in table.items()]
    own = [f"{key} = {_toml_scalar(value)}" for key, value in members if not isinstance(value, (dict, list))]
    if own or header.startswith("[["):
        yield [header, *own] if header else own
    for key, value in members:
        path = f"{name}.{key}" if name else key
        if isinstance(value, dict):
            yield from _toml_blocks(value, path, f"[{path}]")
        elif isinstance(value, list):
            for item in value:
                yield from _toml_blocks(item, path, f"[[{path}]]")


def _toml_key(name: str) -> str:
    return name if _TOML_KEY.fullmatch(name) else _quoted(name)


def _toml_scalar(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(value) if isinstance(value, str) else repr(value)


# --- environment files and fio's job files ---------------------------------------------------------------


def env_line(path: Path, value: Value) -> str:
    """Return NAME=VALUE, booleans as true and false.

    Raise UsageError if shell, systemd and docker would not read the value alike.
    """
    (name,) = path
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if not (isinstance(name, str) and _ENV_NAME.fullmatch(name) and _ENV_WORD.fullmatch(word) and word.isprintable()):
        raise UsageError(
            f"{shown(path)}={word}: needs quotes in an environment file, which shell, systemd and docker read"
            " differently; choose a path of letters, digits and ./:,@%+=#-_"
        )
    return f"{name}={word}"


def _fio_lines(export: Export) -> Iterator[str]:
    """Yield the lines of a section for each first key; true is the option's name only, and false is 0.

    Raise UsageError for a value that a job file cannot hold.
    """
    last = None
    for path, value in export.values.items():
        section, option = map(str, path)
        if section != last:
            yield from () if last is None else ("",)
            yield f"[{section}]"
            last = section
        word = option if value is True else f"{option}={int(value) if isinstance(value, bool) else value}"
        if re.search(r"[\r\n#;]|\s$|=\s", word):
            raise UsageError(f"{word}: a fio job file cannot hold line ends, #, ; or outer blanks; choose another path")
        yield word


_LINES = {
    "yaml": lambda export: _yaml_lines(_document(export)),
    "toml": _toml_lines,
    "env": lambda export: (env_line(path, value) for path, value in export.values.items()),
    "fio": _fio_lines,
}
