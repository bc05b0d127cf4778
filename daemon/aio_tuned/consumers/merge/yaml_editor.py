"""Sets values in YAML texts, leaving the rest as it is: comments, order, quotes, blank lines, indentation.

ruamel.yaml says where everything is; it is needed for merging only, and loaded when it is. What is written reads alike
by the rules of YAML 1.1 (PyYAML, which most consumers use) and of YAML 1.2.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aio_tuned import extra
from aio_tuned.consumers.merge import json_editor
from aio_tuned.consumers.merge.document import Member, Node, descend, newline, place, put
from aio_tuned.consumers.rendering import is_yaml_key, quoted, yaml_scalar
from aio_tuned.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import Value
    from aio_tuned.consumers.merge.document import Path

_TAG = "tag:yaml.org,2002:"


def load(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """The document; ValueError if it is not valid YAML."""
    return _read(text, "load")


def set_value(text: str, path: Path, value: Value) -> str:
    """The text with that value set; missing keys, tables and entries are added at the end of their table or list.

    ValueError if the text is not valid YAML, or if something else than a single value, a table or a list of tables
    stands in the way. ConfigError if ruamel.yaml is not installed.
    """
    composed = _read(text, "compose")
    if composed is None or composed.start_mark.index == composed.end_mark.index:  # nothing but comments
        end = newline(text)
        return (
            text + end * (not text.endswith("\n")) + "".join(line + end for line in _lines(put(None, path, value), ""))
        )
    root = _node(text, composed, 0)
    chain, rest = descend(text, root, path)
    node = chain[-1]
    is_empty = node.kind == "value" and node.start == node.end
    if not rest or (node.kind == "value" and not is_empty) or (is_empty and len(chain) > 1 and chain[-2].flow):
        new = json_editor.dumped(put(None, rest, value), json_editor.Style(yaml_scalar))
        return text[: node.start] + " " * is_empty + new + text[node.end :]
    if node.flow and not is_empty:
        return json_editor.insert(text, chain, rest, value, yaml_scalar)
    return _insert_block(text, chain, rest, value)


def _read(text: str, action: str) -> Any:  # noqa: ANN401 - a document or a node
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError
    except ImportError:
        raise ConfigError(
            f"changing a YAML file needs ruamel.yaml: {extra.get('python3-ruamel.yaml', 'ruamel.yaml')}"
        ) from None
    try:
        return getattr(YAML(typ="safe", pure=True), action)(text)
    except MarkedYAMLError as error:
        where = place(text, error.problem_mark.index) if error.problem_mark else ""
        what = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"not valid YAML: {what}{where}: correct it first") from None
    except YAMLError as error:
        raise ValueError(f"not valid YAML: {str(error).partition(chr(10))[0]}: correct it first") from None


def _node(text: str, found: Any, after: int) -> Node:  # noqa: ANN401 - ruamel's nodes have no common type
    """The node with its exact end, which ruamel puts at the next token. What stands before its place is an alias."""
    start, end = found.start_mark.index, found.end_mark.index
    if start < after:
        return Node("alias", after, after)
    if found.id == "scalar":
        if start == end:
            start = end = text.find(":", after) + 1
        elif found.style in ("|", ">"):
            is_kept = "+" in text[start:end].partition("\n")[0]  # the blank lines below belong to it
            end = end - text.endswith("\n", start, end) if is_kept else len(text[:end].rstrip())
        return Node("value", start, end, _plain(found.tag, found.value))
    node = Node("table" if found.id == "mapping" else "list", start, end, flow=bool(found.flow_style))
    below = start
    for item in found.value:
        key, value = item if node.kind == "table" else (None, item)
        stop = key.end_mark.index if key else below
        part = _node(text, value, stop)
        name = key.value if key and key.tag == f"{_TAG}str" else None
        node.members.append(Member(name, key.start_mark.index if key else part.start, stop, part))
        below = part.end
    if not node.flow:
        node.end = below
    return node


def _plain(tag: str, word: str) -> object:
    """A scalar's value; text where it is neither a number nor true, false or null as JSON writes them."""
    if tag == f"{_TAG}null":
        return None
    try:
        return word if tag == f"{_TAG}str" else json.loads(word.lower())
    except ValueError:
        return word


def _insert_block(text: str, chain: list[Node], rest: Path, value: Value) -> str:
    """The text with the rest of the path below the last line of a block, or of a key without a value."""
    node, unit = chain[-1], _unit(text, chain[0])
    made = put(None, rest, value)
    if node.kind == "value":
        pad = _column(text, chain[-2].members[0].start) + unit if len(chain) > 1 else ""
    elif node.kind == "table":
        pad = _column(text, node.members[0].start)
    else:
        pad = _column(text, text.rindex("-", node.start, node.members[0].start))
    end = newline(text)
    at = text.find("\n", node.end)
    at = len(text) if at < 0 else at - (text[at - 1] == "\r")
    return text[:at] + "".join(end + line for line in _lines(made, pad, unit)) + text[at:]


def _column(text: str, at: int) -> str:
    """As many blanks as there are characters before it on its line."""
    return " " * (at - text.rfind("\n", 0, at) - 1)


def _unit(text: str, root: Node) -> str:
    """One step of the indentation in use: that of the first table in the document's."""
    for member in root.members:
        inner = member.node
        if member.key and inner.kind == "table" and not inner.flow:
            return _column(text, inner.members[0].start)[len(_column(text, member.start)) :]
    return "  "


def _lines(made: Any, pad: str, unit: str = "  ") -> Iterator[str]:  # noqa: ANN401 - a plain table or list
    if isinstance(made, list):
        for item in made:
            first, *others = _lines(item, pad + "  ", unit)
            yield f"{pad}- {first.lstrip()}"
            yield from others
        return
    for key, value in made.items():
        name = key if is_yaml_key(key) else quoted(key)
        if isinstance(value, (dict, list)):
            yield f"{pad}{name}:"
            yield from _lines(value, pad + unit, unit)
        else:
            yield f"{pad}{name}: {yaml_scalar(value)}"
