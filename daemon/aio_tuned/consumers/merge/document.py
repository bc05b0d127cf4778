"""Values by path in a configuration: in plain tables and lists, and in a text whose parts have their places. Pure.

Whatever cannot be is a ValueError that says what, on which line, and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias

from aio_tuned.consumers.export import Entry, Key, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

Path: TypeAlias = tuple[Key, ...]


def shown(path: Path) -> str:
    """The path as messages name it: "tiers[type=fs].threads"."""
    words = ""
    for key in path:
        if isinstance(key, Entry):
            words += f"[{', '.join(f'{name}={value}' for name, value in key.match)}]"
        else:
            words += f".{key}" if words else key
    return words or "the document"


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - whatever a parser gives
    """Whether two documents are equal, in types too: true is not 1, and 1 is not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - two that are not a number


def matches(members: Mapping[Any, object], entry: Entry) -> bool:
    """Whether a table with these members is the entry."""
    return all(name in members and same(_bare(members[name]), _bare(value)) for name, value in entry.match)


def _bare(value: object) -> object:
    """The same folder may be written with a slash at its end."""
    return value.rstrip("/") or value if isinstance(value, str) else value


def put(node: Any, path: Path, value: Value, above: Path = ()) -> Any:  # noqa: ANN401 - whatever a parser gives
    """The plain document with that value set; what is not there, or null, is made. The argument stays as it is."""
    if not path:
        if isinstance(node, (dict, list)):
            _clash(above, "a single value")
        return value
    head, rest, here = path[0], path[1:], (*above, path[0])
    if not isinstance(head, Entry):
        if not isinstance(node, (dict, type(None))):
            _clash(above, "a table")
        table = node or {}
        return {**table, head: put(table.get(head), rest, value, here)}
    if not isinstance(node, (list, type(None))) or not all(isinstance(item, dict) for item in node or ()):
        _clash(above, "a list of tables")
    items = list(node or ())
    index = only([i for i, item in enumerate(items) if matches(item, head)], here)
    if index is None:
        return [*items, put(dict(head.match), rest, value, here)]
    items[index] = put(items[index], rest, value, here)
    return items


def only(found: list[int], path: Path, place: str = "") -> int | None:
    """The only one of what was found by the path's last key; None if there is none."""
    if len(found) > 1:
        raise ValueError(f"{shown(path)} is there {len(found)} times{place}: leave one of them")
    return found[0] if found else None


def _clash(path: Path, wanted: str, place: str = "") -> NoReturn:
    raise ValueError(f"{shown(path)} must be {wanted}{place}: rename or remove what is there")


@dataclass(slots=True)
class Node:
    """A part of a text: from `start` to before `end`. `flow`: in brackets. `value` is that of a scalar."""

    kind: Literal["table", "list", "value", "alias"]
    start: int
    end: int
    value: object = None
    members: list[Member] = field(default_factory=list)
    flow: bool = True


class Member(NamedTuple):
    """A table's key, which stands from `start` to before `stop`, with its value; or a list's item, without a key."""

    key: str | None
    start: int
    stop: int
    node: Node


def place(text: str, at: int) -> str:
    """Where that index is, as messages say it."""
    return f" (line {text.count(chr(10), 0, at) + 1})"


def newline(text: str) -> str:
    """The line end in use."""
    return "\r\n" if "\r\n" in text else "\n"


def descend(text: str, root: Node, path: Path) -> tuple[list[Node], Path]:
    """The nodes from the root along the path as far as they are there, and the rest of the path.

    Without a rest the last node is a single value. A null is where a way ends: what is beyond it is to be made.
    """
    chain = [root]
    for depth, key in enumerate(path):
        node, here = chain[-1], path[:depth]
        if node.kind == "alias":
            break
        if node.kind == "value" and node.value is None:
            return chain, path[depth:]
        if isinstance(key, Entry):
            if node.kind != "list" or any(member.node.kind != "table" for member in node.members):
                _clash(here, "a list of tables", place(text, node.start))
            tables = [{member.key: member.node.value for member in item.node.members} for item in node.members]
            found = [i for i, table in enumerate(tables) if matches(table, key)]
        else:
            if node.kind != "table":
                _clash(here, "a table", place(text, node.start))
            found = [i for i, member in enumerate(node.members) if member.key == key]
        index = only(found, path[: depth + 1], place(text, node.members[found[-1]].start) if found else "")
        if index is None:
            return chain, path[depth:]
        chain.append(node.members[index].node)
    node = chain[-1]
    if node.kind == "alias":
        where = shown(path[: len(chain) - 1]) + place(text, node.start)
        raise ValueError(f"{where} is an alias: write out what it stands for")
    if node.kind != "value":
        _clash(path, "a single value", place(text, node.start))
    return chain, ()
