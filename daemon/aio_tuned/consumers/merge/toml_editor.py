"""Sets values in TOML texts, leaving the rest as it is: comments, order, blank lines. Pure.

Works on lines, as TOML does, rather than through a document model: those put new keys below the comments that belong to
the next table. The standard parser decides what is valid, before and after.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from aio_tuned.consumers.export import Entry
from aio_tuned.consumers.merge.document import matches, newline, place, put, quoted, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aio_tuned.consumers.export import Key, Value
    from aio_tuned.consumers.merge.document import Path

# Where something stands: names of tables and keys, and numbers of the tables in a list.
Slots: TypeAlias = "tuple[str | int, ...]"

_KEY = r"""(?:[\w-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEAD = re.compile(
    rf"[ \t]*(?:(?P<list>\[)?\[[ \t]*(?P<table>{_DOTTED})[ \t]*\]\]?|(?P<key>{_DOTTED})[ \t]*=[ \t]*)", re.ASCII
)
_PIECE = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*|[^\s"'#\[\]{}]+|.''', re.DOTALL
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class Statement(NamedTuple):
    """A header or a key with its value: its path, its header's, and where it, its value, and its last line are."""

    path: Slots
    table: Slots
    start: int
    value_start: int
    value_end: int
    line_end: int

    @property
    def is_header(self) -> bool:
        return self.path == self.table


def load(text: str) -> dict[str, Any]:
    """The document; ValueError if it is not valid TOML."""
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"not valid TOML: {error}: correct it first") from None


def set_value(text: str, path: Path, value: Value) -> str:
    """The text with that value set; keys are added at the end of their table, tables at the end of the text.

    ValueError if the text is not valid TOML, or if something else than a single value, a table or a list of tables
    stands in the way.
    """
    document = load(text)
    put(document, path, value)
    slots, new = _slots(document, path)
    found = list(statements(text))
    for statement in found:
        if not statement.is_header and slots[: len(statement.path)] == statement.path:
            if statement.path == slots:
                return text[: statement.value_start] + literal(value) + text[statement.value_end :]
            where = shown(path[: len(statement.path)]) + place(text, statement.start)
            raise ValueError(f"{where} is written inline: write it as a table with a [header] of its own")
    if new is not None:
        lines = _tables(path[:new], put(None, path[new:], value)[0], is_item=True)
        return _insert(text, _end_of(text, found, slots), ["", *lines])
    parent = slots[:-1]
    near = [s for s in found if s.path[: len(parent)] == parent and s.table == parent[: len(s.table)]]
    if near:
        line = f"{_indent(text, near[-1])}{_key(slots[len(near[-1].table) :])} = {literal(value)}"
        return _insert(text, near[-1].line_end, [line])
    lines = _tables(path[:-1], put(None, path[-1:], value))
    return _insert(text, _end_of(text, found, slots), ["", *lines]) if parent else _insert_first(text, found, [*lines])


def literal(value: Value) -> str:
    """The value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else repr(value)


def statements(text: str) -> Iterator[Statement]:
    """All headers and keys of a valid text."""
    counts: dict[Slots, int] = {}
    table: Slots = ()
    at = 0
    while at < len(text):
        head = _HEAD.match(text, at)
        end = head.end() if head else at
        value_end, line_end = _value_end(text, end)
        if head and head["table"]:
            *above, name = _parts(head["table"])
            table = (*_numbered((), above, counts), name)
            if head["list"]:
                counts[table] = counts.get(table, -1) + 1
            table = _numbered(table[:-1], [name], counts)
            yield Statement(table, table, at, end, end, line_end)
        elif head:
            yield Statement((*table, *_parts(head["key"])), table, at, end, value_end, line_end)
        at = text.find("\n", line_end) + 1 or len(text)


def _parts(dotted: str) -> list[str]:
    """The names in a dotted key."""
    names = []
    inner: Any = tomllib.loads(f"{dotted} = 0")
    while inner != 0:
        ((name, inner),) = inner.items()
        names.append(name)
    return names


def _numbered(above: Slots, names: list[str], counts: dict[Slots, int]) -> Slots:
    """The names with the number of the latest table after each that is a list of tables."""
    for name in names:
        above = (*above, name)
        if above in counts:
            above = (*above, counts[above])
    return above


def _value_end(text: str, at: int) -> tuple[int, int]:
    """The ends of a value that starts there and of its last line; brackets and long strings may go over several."""
    depth, end = 0, at
    for piece in _PIECE.finditer(text, at):
        word = piece.group()
        if word == "\n" and depth == 0:
            start = piece.start()
            return end, start - 1 if text[start - 1] == "\r" else start
        depth += (word in "[{") - (word in "]}")
        if not word.isspace() and not word.startswith("#"):
            end = piece.end()
    return end, len(text)


def _slots(document: dict[str, Any], path: Path) -> tuple[Slots, int | None]:
    """The path with numbers for entries. If an entry is to be made, the path to that, and the entry's place in it."""
    slots: Slots = ()
    node: Any = document
    for depth, key in enumerate(path):
        if isinstance(key, Entry):
            index = next((i for i, item in enumerate(node or ()) if matches(item, key)), None)
            if index is None:
                return (*slots, len(node or ())), depth
            slots, node = (*slots, index), node[index]
        else:
            slots, node = (*slots, key), node.get(key) if node else None
    return slots, None


def _key(names: Iterable[Key | int]) -> str:
    """A dotted key; numbers and entries of lists are no part of it."""
    return ".".join(name if _BARE.fullmatch(name) else quoted(name) for name in names if isinstance(name, str))


def _tables(path: Path, table: dict[str, Any], *, is_item: bool = False) -> Iterator[str]:
    """The lines of a new table, which may be one in a list, and of those in it."""
    if path:
        yield f"[[{_key(path)}]]" if is_item else f"[{_key(path)}]"
    for name, value in table.items():
        if not isinstance(value, (dict, list)):
            yield f"{_key([name])} = {literal(value)}"
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _tables((*path, name), value)
        elif isinstance(value, list):
            for item in value:
                yield from _tables((*path, name), item, is_item=True)


def _indent(text: str, statement: Statement) -> str:
    line = text[statement.start : statement.line_end]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _end_of(text: str, found: list[Statement], slots: Slots) -> int:
    """Where a new table goes: below the table of a list that it is in, or the one before it, or at the end."""
    for depth in range(len(slots), 0, -1):
        last = slots[depth - 1]
        for number in (last, last - 1) if isinstance(last, int) else ():
            above = (*slots[: depth - 1], number)
            inside = [statement for statement in found if statement.path[:depth] == above]
            if inside:
                return inside[-1].line_end
    return len(text)


def _insert(text: str, at: int, lines: list[str]) -> str:
    """The text with these lines below the line that ends there."""
    end = newline(text)
    if at < len(text):
        return text[:at] + "".join(end + line for line in lines) + text[at:]
    head = text if text.endswith("\n") or not text else text + end
    is_apart = not head or head.endswith(("\n\n", "\n\r\n"))
    return head + "".join(line + end for line in lines if line or not is_apart)


def _insert_first(text: str, found: list[Statement], lines: list[str]) -> str:
    """The text with first keys: above the first table and the comments that stand right over it."""
    if not found:
        return _insert(text, len(text), lines)
    at = found[0].start
    while at and text[text.rfind("\n", 0, at - 1) + 1 : at].strip().startswith("#"):
        at = text.rfind("\n", 0, at - 1) + 1
    return text[:at] + newline(text).join([*lines, "", ""]) + text[at:]
