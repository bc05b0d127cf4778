"""An editor of YAML texts, through ruamel.yaml's round trip, that leaves all other lines unchanged.

The round trip keeps comments, order and quotes, but neither blanks inside a line nor the spelling of some values
(True). So only the part below one top-level key passes through it, and only the lines that the value changes are taken
from the result. ruamel.yaml is loaded only for merging.
"""

from __future__ import annotations

import io
import json
import re
import sys
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from aio_tuned import extras
from aio_tuned.consumers.export import Entry
from aio_tuned.consumers.merge import json_editor
from aio_tuned.consumers.merge.document import matches, newline, place, put, shown
from aio_tuned.consumers.rendering import is_yaml_key, yaml_scalar
from aio_tuned.errors import ConfigError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Key, Value
    from aio_tuned.consumers.merge.document import Path

_LINE_END = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # the line ends that ruamel.yaml counts
_HEADER = re.compile(r"([|>])([1-9]?)[+-]?([1-9]?)")
_FLOAT = "tag:yaml.org,2002:float"
_NO_NAME = "a key is a table or a list; set the values by hand"
# These match a key without a value, and the additional indentation of a key or an item on the line below it.
_KEY_ALONE = r"^( *)[^\s#-][^#\n]*:(?:[ \t]*(?:#[^\n]*)?\n)+\1"
_STEP = re.compile(_KEY_ALONE + r"( +)[^\s#-]", re.MULTILINE)
_OFFSET = re.compile(_KEY_ALONE + r"( *)-[ \n]", re.MULTILINE)


def load(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the document; raise ValueError if it is not valid YAML, ConfigError if ruamel.yaml is not installed."""
    return _read(text, "load")


def set_value(text: str, path: Path, value: Value) -> str:
    """Return the text with that value set; keys and entries are added at the end of their table or list.

    A text that is JSON, and so YAML, stays JSON. Raise ValueError if the text is not valid YAML, if a part of the path
    has another type than it must have, or if other lines would change; ConfigError if ruamel.yaml is not installed.
    """
    plain = load(text)
    if plain and _is_json(text) and not isinstance(value, float):  # 1e-05 is a string in YAML 1.1
        return json_editor.set_value(text, path, value)
    marked = _without_last_line_end(text)
    new = _with_lines_set(marked, plain, path, value)
    if marked != text and new.endswith(text.rpartition("\n")[2]):  # nothing was added below it, so no mark is needed
        new = _with_lines_set(text, plain, path, value)
    return _with_anchors_moved(text, new)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _without_last_line_end(text: str) -> str:
    """Return the text with its last block scalar marked as one without a line end at its end.

    Such a scalar has none if the file ends without one, but a line that is added below it would add one.
    """
    if text.endswith("\n"):
        return text
    blocks = [token.start_mark.index for token in _read(text, "scan") if getattr(token, "style", None) in ("|", ">")]
    start = blocks[-1] if blocks else len(text)
    return text[:start] + _HEADER.sub(r"\1\2\3-", text[start:], count=1)


def _with_anchors_moved(old: str, new: str) -> str:
    """Return the new text with the anchor of a replaced value at its first alias, together with that value."""
    for anchor, scalar in pairwise(_read(old, "scan")):
        if (anchor.id, scalar.id) != ("<anchor>", "<scalar>"):
            continue
        named = (token for token in _read(new, "scan") if token.id in ("<anchor>", "<alias>"))
        first = next((token for token in named if token.value == anchor.value), None)
        if first and first.id == "<alias>":
            was = old[anchor.start_mark.index : scalar.end_mark.index]
            new = new[: first.start_mark.index] + was + new[first.end_mark.index :]
    return new


def _with_lines_set(text: str, plain: Any, path: Path, value: Value) -> str:  # noqa: ANN401 - a plain document
    """Do the work of set_value() on a text that holds the document `plain`."""
    end = newline(text)
    made = put(plain, path, value)
    lines = text.split(end)
    if len(_LINE_END.split(text)) != len(lines):
        raise ValueError("mixed line ends; convert them to one kind first")
    start, stop = _find(text, lines, path[0])
    if start == stop:
        new: list[str] | None = _dumped(_editor("", text), _made({path[0]: made[path[0]]}))
    else:
        new = _rewritten(lines[start:stop], text, plain, path, value)
    if new is None:
        where = f"{shown(path[:1])} (line {start + 1})"
        raise ValueError(f"{where}: formatting cannot be kept; set {shown(path)} there by hand")
    return end.join([*lines[:start], *new, *lines[stop:]])


def _read(text: str, action: str) -> Any:  # noqa: ANN401 - a document or a node
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError
    except ImportError:
        raise ConfigError(
            f"merging into YAML needs ruamel.yaml: {extras.get('python3-ruamel.yaml', 'ruamel.yaml')}"
        ) from None
    try:
        found = getattr(YAML(typ="safe", pure=True), action)(text)
        return list(found) if action == "scan" else found
    except MarkedYAMLError as error:
        where = place(text, error.problem_mark.index) if error.problem_mark else ""
        what = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"not valid YAML: {what}{where}; correct it first") from None
    except YAMLError as error:
        raise ValueError(f"not valid YAML: {str(error).partition(chr(10))[0]}; correct it first") from None
    except TypeError:  # ruamel.yaml looks such a key up in a dictionary
        raise ValueError(_NO_NAME) from None


def _find(text: str, lines: list[str], key: Key) -> tuple[int, int]:
    """Return the first line of a top-level key and the line after it; if it is missing, the line to add it at, twice.

    Raise ValueError if the document is not a table.
    """
    root = _read(text + "\n", "compose")
    if root is None or root.id != "mapping":
        if any(_has_content(line) and line.rstrip() != "---" for line in lines):
            raise ValueError("the document must be a table; remove its present content")
        return (len(lines) - (not lines[-1]),) * 2
    if root.flow_style:
        return root.start_mark.line, root.end_mark.line + 1
    names = [name for name, _ in root.value]
    if any(name.id != "scalar" for name in names):
        raise ValueError(_NO_NAME)
    ends = [*(name.start_mark.line for name in names[1:]), root.end_mark.line]
    spans = {name.value: (name.start_mark.line, end) for name, end in zip(names, ends, strict=True)}
    start, stop = spans.get(key, (ends[-1], ends[-1]))
    while not _has_content(lines[stop - 1]):
        stop -= 1
    return min(start, stop), stop


def _has_content(line: str) -> bool:
    return line.strip()[:1] not in ("", "#")


def _rewritten(old: list[str], text: str, plain: Any, path: Path, value: Value) -> list[str] | None:  # noqa: ANN401
    """Return the lines, a part of the text, with the value set; None if the round trip does not keep all of them."""
    from ruamel.yaml.error import YAMLError

    part = "".join(line + "\n" for line in old)
    editor = _editor(part, text)
    try:
        tree = editor.load(part)
    except YAMLError:  # the part may have an alias whose anchor is in another part
        return None
    before = _dumped(editor, tree)
    if list(map(_spelled, before)) != list(map(_spelled, old)):
        return None
    _set(tree, plain, path, value)
    after = _dumped(editor, tree)
    new: list[str] = []
    for tag, start, stop, first, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        at = len(new)
        while at and tag == "insert" and not _has_content(new[at - 1]):  # comments stay with the lines below them
            at -= 1
        new[at:at] = old[start:stop] if tag == "equal" else after[first:last]
        if stop - start > last - first and any("#" in line for line in old[start:stop]):  # it may have been a comment
            return None
    return new


def _spelled(line: str) -> str:
    """Return the line without the differences that the round trip may make: blanks inside, and case."""
    return re.sub(r"(?<=\S)\s+", "", line).casefold()


def _editor(part: str, text: str) -> Any:  # noqa: ANN401 - ruamel.yaml's YAML
    """Return a round trip that indents as the part does, else as the text does, and writes floats for all readers."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        pass

    Representer.add_representer(float, lambda dumper, value: dumper.represent_scalar(_FLOAT, yaml_scalar(value)))
    editor = YAML()
    editor.Representer = Representer
    editor.preserve_quotes = True
    editor.width = sys.maxsize
    step, offset = (pattern.search(part) or pattern.search(text) for pattern in (_STEP, _OFFSET))
    dash = len(offset[2]) if offset else 2
    editor.indent(mapping=len(step[2]) if step else 2, sequence=dash + 2, offset=dash)
    return editor


def _dumped(editor: Any, tree: Any) -> list[str]:  # noqa: ANN401 - ruamel.yaml's
    stream = io.StringIO()
    editor.dump(tree, stream)
    return stream.getvalue().removesuffix("\n").split("\n")


def _set(node: Any, plain: Any, path: Path, value: Value) -> None:  # noqa: ANN401 - ruamel.yaml's tables and lists
    """Set the value in the tree; `plain` is the same document as plain dicts and lists."""
    head, rest = path[0], path[1:]
    if isinstance(head, Entry):
        index = next((i for i, item in enumerate(plain) if matches(item, head)), None)
        if index is None:
            node.append(_made(put(dict(head.match), rest, value)))
        else:
            _set(node[index], plain[index], rest, value)
    elif rest and plain.get(head) is not None:
        _set(node[head], plain[head], rest, value)
    else:
        node[_key(head)] = _made(put(None, rest, value))


def _key(name: str) -> str:
    """Return the key for the round trip, in quotes if it needs them."""
    key: str = name if is_yaml_key(name) else _made(name)
    return key


def _made(made: Any) -> Any:  # noqa: ANN401 - a plain document
    """Return the document for the round trip, with strings in quotes."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(made, dict):
        return CommentedMap((_key(key), _made(value)) for key, value in made.items())
    if isinstance(made, list):
        return CommentedSeq(map(_made, made))
    return DoubleQuotedScalarString(made) if isinstance(made, str) else made
