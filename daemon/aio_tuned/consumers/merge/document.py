"""Values by path in a plain document of dicts and lists, and the names of paths and lines in messages.

Each problem is raised as a ValueError whose text names the problem, the line, and the remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from aio_tuned.consumers.export import Entry, Key, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

Path: TypeAlias = tuple[Key, ...]


def shown(path: Path) -> str:
    """Return the path for messages, such as "tiers[type=fs].threads"."""
    words = ""
    for key in path:
        if isinstance(key, Entry):
            words += f"[{', '.join(f'{name}={value}' for name, value in key.match)}]"
        else:
            words += f".{key}" if words else key
    return words or "the document"


def same(one: Any, other: Any) -> bool:  # noqa: ANN401 - whatever a parser gives
    """Return whether two documents are equal, in types too: true is not 1, and 1 is not 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - true if both are NaN


def matches(members: Mapping[Any, object], entry: Entry) -> bool:
    """Return whether a table with these members is the entry."""
    return all(name in members and same(_bare(members[name]), _bare(value)) for name, value in entry.match)


def _bare(value: object) -> object:
    """Return the value without trailing slashes, because a folder may be written with or without one."""
    return value.rstrip("/") or value if isinstance(value, str) else value


def put(node: Any, path: Path, value: Value, above: Path = ()) -> Any:  # noqa: ANN401 - whatever a parser gives
    """Return a copy of the document with that value set; missing and null parts of the path are created.

    Raise ValueError if a part of the path has another type.
    """
    if not path:
        if isinstance(node, (dict, list)):
            clash(above, "a single value")
        return value
    head, rest, here = path[0], path[1:], (*above, path[0])
    if not isinstance(head, Entry):
        if not isinstance(node, (dict, type(None))):
            clash(above, "a table")
        table = node or {}
        return {**table, head: put(table.get(head), rest, value, here)}
    if not isinstance(node, (list, type(None))) or not all(isinstance(item, dict) for item in node or ()):
        clash(above, "a list of tables")
    items = list(node or ())
    index = only([i for i, item in enumerate(items) if matches(item, head)], here)
    if index is None:
        return [*items, put(dict(head.match), rest, value, here)]
    items[index] = put(items[index], rest, value, here)
    return items


def only(found: list[int], path: Path, place: str = "") -> int | None:
    """Return the only index found by the path's last key, None without any; raise ValueError for several."""
    if len(found) > 1:
        raise ValueError(f"{shown(path)} occurs {len(found)} times{place}; keep one of them")
    return found[0] if found else None


def clash(path: Path, wanted: str, place: str = "") -> NoReturn:
    """Raise ValueError, because the value at that path is not of the type that is wanted."""
    raise ValueError(f"{shown(path)} must be {wanted}{place}; rename or remove the present value")


def place(text: str, at: int) -> str:
    """Return the line of that index, in the form for messages."""
    return f" (line {text.count(chr(10), 0, at) + 1})"


def newline(text: str) -> str:
    """Return the line end in use."""
    return "\r\n" if "\r\n" in text else "\n"
