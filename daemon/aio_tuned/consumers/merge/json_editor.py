"""An editor of JSON texts that keeps comments, order, blank lines and indentation.

Besides JSON these texts may have the extensions of consumers' own parsers: comments (// and /* */ in NVIDIA's
cufile.json; # in DeepSpeed's configuration, which is read as Hjson) and trailing commas. Hjson's unquoted words are
refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from aio_tuned.consumers.export import Entry
from aio_tuned.consumers.merge.document import clash, matches, newline, only, place, put

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Value
    from aio_tuned.consumers.merge.document import Path

_BLANKS = " \t\r\n"
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_SKIPPED = re.compile(rf"(?:[{_BLANKS}]+|{_COMMENT.pattern})*", re.DOTALL)
_INDENT = re.compile(r"[ \t]*")
_CLOSING = {"table": "}", "list": "]"}
_DECODER = json.JSONDecoder()


@dataclass(slots=True)
class Node:
    """A part of a text, from `start` to before `end`; `value` is the value of a scalar."""

    kind: Literal["table", "list", "value"]
    start: int
    end: int
    value: object = None
    members: list[Member] = field(default_factory=list)


class Member(NamedTuple):
    """A table's key, which is from `start` to before `stop`, with its value; or a list's item, without a key."""

    key: str | None
    start: int
    stop: int
    node: Node


def set_value(text: str, path: Path, value: Value) -> str:
    """Return the text with that value set; missing keys and entries are added at the end of their table or list.

    Raise ValueError if the text is not JSON, or if a part of the path has another type than it must have.
    """
    chain, rest = _descend(text, parse(text), path)
    node = chain[-1]
    if not rest or node.kind == "value":
        return text[: node.start] + dumped(put(None, rest, value), Style()) + text[node.end :]
    return insert(text, chain, rest, value)


def _descend(text: str, root: Node, path: Path) -> tuple[list[Node], Path]:
    """Return the existing nodes from the root along the path, and the missing rest of the path.

    Without a rest, the last node is a single value. A null ends the existing nodes, because it is replaced. Raise
    ValueError if a node has another type than it must have.
    """
    chain = [root]
    for depth, key in enumerate(path):
        node, here = chain[-1], path[:depth]
        if node.kind == "value" and node.value is None:
            return chain, path[depth:]
        if isinstance(key, Entry):
            if node.kind != "list" or any(member.node.kind != "table" for member in node.members):
                clash(here, "a list of tables", place(text, node.start))
            tables = [{member.key: member.node.value for member in item.node.members} for item in node.members]
            found = [i for i, table in enumerate(tables) if matches(table, key)]
        else:
            if node.kind != "table":
                clash(here, "a table", place(text, node.start))
            found = [i for i, member in enumerate(node.members) if member.key == key]
        index = only(found, path[: depth + 1], place(text, node.members[found[-1]].start) if found else "")
        if index is None:
            return chain, path[depth:]
        chain.append(node.members[index].node)
    node = chain[-1]
    if node.kind != "value":
        clash(path, "a single value", place(text, node.start))
    return chain, ()


def load(text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the document; raise ValueError if the text is not JSON."""
    return _plain(parse(text))


def _plain(node: Node) -> Any:  # noqa: ANN401 - whatever the file holds
    if node.kind == "table":
        return {member.key: _plain(member.node) for member in node.members}
    return [_plain(member.node) for member in node.members] if node.kind == "list" else node.value


def parse(text: str) -> Node:
    """Return the parts of the text, without recursion, so that they may be nested to any depth.

    Raise ValueError if the text is not JSON.
    """
    open_nodes: list[Node] = []
    at = skip(text, 0)
    while True:
        if open_nodes and text.startswith(_CLOSING[open_nodes[-1].kind], at):
            node = open_nodes.pop()
            node.end = at = at + 1
        else:
            node = _value(text, at, open_nodes[-1] if open_nodes else None)
            at = node.end
            if node.kind != "value":
                open_nodes.append(node)
                at = skip(text, at)
                continue
        at = skip(text, at)
        if not open_nodes:
            break
        if text.startswith(",", at):
            at = skip(text, at + 1)
        elif not text.startswith(_CLOSING[open_nodes[-1].kind], at):
            _wrong(text, at, f'expected "," or "{_CLOSING[open_nodes[-1].kind]}"')
    if at < len(text):
        _wrong(text, at, "expected the end of the file")
    return node


def skip(text: str, at: int) -> int:
    """Return the index after blanks and comments; raise ValueError if a comment is not closed."""
    found = _SKIPPED.match(text, at)
    at = found.end() if found else at
    if text.startswith("/*", at):
        _wrong(text, at, "a comment is not closed")
    return at


def _wrong(text: str, at: int, what: str) -> NoReturn:
    raise ValueError(f"not valid JSON: {what}{place(text, at)}; correct it first")


def _value(text: str, at: int, holder: Node | None) -> Node:
    """Parse the value at that index and add it to its holder; of a table or list parse only the opening bracket."""
    key, start, stop = None, at, at
    if holder and holder.kind == "table":
        if not text.startswith('"', at):
            _wrong(text, at, "expected a key in double quotes")
        scalar = _scalar(text, at)
        key, stop = str(scalar.value), scalar.end
        at = skip(text, stop)
        if not text.startswith(":", at):
            _wrong(text, at, 'expected ":"')
        at = skip(text, at + 1)
    if text.startswith(("{", "["), at):
        node = Node("table" if text[at] == "{" else "list", at, at + 1)
    else:
        node = _scalar(text, at)
    if holder:
        holder.members.append(Member(key, start, stop, node))
    return node


def _scalar(text: str, at: int) -> Node:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        hint = ", words in double quotes" if error.msg == "Expecting value" else ""
        _wrong(text, error.pos, error.msg.lower() + hint)
    except ValueError:
        _wrong(text, at, "a number has too many digits")
    return Node("value", at, end, value)


def insert(text: str, chain: list[Node], rest: Path, value: Value) -> str:
    """Return the text with the rest of a path added at the end of the chain's last node, a table or a list."""
    node = chain[-1]
    close = node.end - 1
    end = node.members[-1].node.end if node.members else node.start + 1
    after = skip(text, end)
    has_comma = bool(node.members) and text.startswith(",", after)
    at = len(text[:close].rstrip(_BLANKS))
    indent, unit = _member_indent(text, chain), _unit(text, chain)
    if indent is None and _ends_in_line_comment(text, after + 1 if has_comma else end, at):
        indent = _line_indent(text, node.start) + unit

    blank = "" if _is_compact(text, node) else " "
    gap = "" if indent is None else newline(text) + indent
    style = Style("," if gap else f",{blank}", f":{blank}", unit)
    (new,) = _members(put(None, rest, value), style, gap)
    if has_comma:
        new += ","
    elif node.members:
        text, at = f"{text[:end]},{text[end:]}", at + 1
    elif gap and "\n" not in text[at:close]:
        new += newline(text) + _line_indent(text, node.start)
    return text[:at] + (gap or blank * (at > node.start + 1)) + new + text[at:]


class Style(NamedTuple):
    """The style in which tables and lists are written; `step` is one step of indentation."""

    comma: str = ", "
    colon: str = ": "
    step: str = ""


def dumped(made: Any, style: Style, gap: str = "") -> str:  # noqa: ANN401 - a plain document
    """Return the document's text; `gap` is the line end and indentation around it, or "" for a text on one line."""
    if not isinstance(made, (dict, list)):
        return json.dumps(made)
    inner = gap and gap + style.step
    start, end = "{}" if isinstance(made, dict) else "[]"
    return start + inner + (style.comma + inner).join(_members(made, style, inner)) + gap + end


def _members(made: Any, style: Style, gap: str) -> list[str]:  # noqa: ANN401 - a plain table or list
    if isinstance(made, dict):
        return [json.dumps(key) + style.colon + dumped(value, style, gap) for key, value in made.items()]
    return [dumped(item, style, gap) for item in made]


def _line_indent(text: str, at: int) -> str:
    """Return the blanks at the beginning of the line with that index."""
    found = _INDENT.match(text, text.rfind("\n", 0, at) + 1)
    return found.group() if found else ""


def _own_line(text: str, node: Node) -> str | None:
    """Return the indentation of the node's members; None if they are on the same line as the node."""
    for member in (node.members[-1], node.members[0]) if node.members else ():
        before = text[text.rfind("\n", 0, member.start) + 1 : member.start]
        if not before.strip(" \t"):
            return before
    return None


def _unit(text: str, chain: list[Node]) -> str:
    """Return one step of the indentation that is used around the chain's last node, by default four blanks."""
    for node in reversed(chain):
        own, base = _own_line(text, node), _line_indent(text, node.start)
        if own is not None and own != base and own.startswith(base):
            return own[len(base) :]
    return "    "


def _member_indent(text: str, chain: list[Node]) -> str | None:
    """Return the indentation for a new member, None to add it on the same line; an empty node follows its parent."""
    node = chain[-1]
    own = _own_line(text, node)
    if own is not None or node.members:
        return own
    if len(chain) > 1 and _own_line(text, chain[-2]) is None:
        return None
    return _line_indent(text, node.start) + _unit(text, chain)


def _is_compact(text: str, node: Node) -> bool:
    """Return whether the node has no blanks between keys and values."""
    while node.kind == "list" and node.members:
        node = node.members[-1].node
    return node.kind == "table" and bool(node.members) and text[node.members[-1].node.start - 1] == ":"


def _ends_in_line_comment(text: str, start: int, end: int) -> bool:
    comments = list(_COMMENT.finditer(text, start, end))
    return bool(comments) and comments[-1].end() == end and not comments[-1].group().startswith("/*")
