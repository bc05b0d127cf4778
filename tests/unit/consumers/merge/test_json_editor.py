from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import hjson
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aio_tuned.consumers.export import Entry
from aio_tuned.consumers.merge import json_editor
from aio_tuned.consumers.merge.document import put, same
from unit.support.limits import digits_are_limited

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import Value
    from aio_tuned.consumers.merge.document import Path

FS = Entry((("type", "fs"), ("root", "/kv")))

KEYS = st.sampled_from(["a", "b", "c", 'q"\\', "ü\u2028", ""])
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
)
DOCUMENTS = st.recursive(
    st.none() | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
ENTRIES = st.dictionaries(st.sampled_from(["x", "y"]), SCALARS, min_size=1).map(
    lambda table: Entry(tuple(table.items()))
)
PATHS = st.lists(st.tuples(KEYS) | st.tuples(KEYS, ENTRIES), max_size=2).flatmap(
    lambda parts: KEYS.map(lambda last: (*(key for part in parts for key in part), last))
)
COMMENTS = st.sampled_from(["// }", "# ]", '// "', "# /*", "/* , */", "/* // */", "/**/", "/*\n\n{ */", "# ü\r"])


def common(one: str, other: str) -> int:
    """How many characters the two begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def kept(old: str, new: str) -> bool:
    """Whether the old text is the new one without one span that was put in, and without a comma before that.

    The span may stand in the place of a null.
    """
    head = common(old, new)
    tail = common(old[head:][::-1], new[head:][::-1])
    middle = old[head : len(old) - tail]
    return middle in ("", "null") or new[head:].startswith("," + middle)


@st.composite
def commented(draw: st.DrawFn, document: object) -> str:
    """The document's text with comments, blanks and trailing commas anywhere."""
    mark = re.compile(r"\0")

    def between(_found: re.Match[str]) -> str:
        comment = draw(COMMENTS) if draw(st.integers(0, 3)) == 0 else ""
        blank = draw(st.sampled_from(["", " ", "\n", "\n\t", "\r\n  "]))
        return blank + comment + ("\n" if comment[:1] == "#" or comment[:2] == "//" else "") + blank

    def written(node: object) -> str:
        if isinstance(node, dict):
            parts = [f"\0{json.dumps(key)}\0:\0{written(value)}\0" for key, value in node.items()]
            return "{" + ",".join(parts) + draw(st.sampled_from(["", ","]) if parts else st.just("")) + "\0}"
        if isinstance(node, list):
            parts = [f"\0{written(value)}\0" for value in node]
            return "[" + ",".join(parts) + draw(st.sampled_from(["", ","]) if parts else st.just("")) + "\0]"
        return json.dumps(node)

    return mark.sub(between, f"\0{written(document)}\0")


def settable(document: object, path: Path, value: Value) -> object:
    """What becomes of the document; the example does not count if the path cannot be there."""
    try:
        return put(document, path, value)
    except ValueError:
        assume(False)


@settings(derandomize=True, deadline=None)
@given(st.dictionaries(KEYS, DOCUMENTS), PATHS, SCALARS, st.sampled_from([None, 0, 1, 4, "\t"]))
@example({}, ("a", FS, "b"), 1, None)
def test_any_value_in_any_json(document: object, path: Path, value: Value, indent: int | str | None) -> None:
    text = json.dumps(document, indent=indent)
    wanted = settable(document, path, value)
    new = json_editor.set_value(text, path, value)
    assert same(json.loads(new), wanted)
    assert json_editor.set_value(new, path, value) == new


@given(st.dictionaries(KEYS, DOCUMENTS).flatmap(lambda d: st.tuples(st.just(d), commented(d))), PATHS, SCALARS)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_comments_and_all_else_stay(given_document: tuple[object, str], path: Path, value: Value) -> None:
    document, text = given_document
    wanted = settable(document, path, value)
    new = json_editor.set_value(text, path, value)
    assert same(hjson.loads(new), hjson.loads(json.dumps(wanted)))
    assert json_editor.set_value(new, path, value) == new
    if sum(1 for _ in leaves(wanted)) > sum(1 for _ in leaves(document)):
        assert kept(text, new)


def leaves(node: object) -> Iterator[object]:
    if not isinstance(node, (dict, list)):
        yield node
    elif isinstance(node, dict):
        yield from leaves([*node.values()])
    else:
        for inner in node:
            yield from leaves(inner)


@given(st.text(alphabet='{}[]:,"\\/*# \n01ae', max_size=30))
def test_what_it_takes_without_comments_is_json(text: str) -> None:
    try:
        json_editor.parse(text)
    except ValueError as error:
        assert re.search(r"\(line \d+\)", str(error))  # noqa: PT017 - any text may be either
        with pytest.raises(ValueError, match=r"."):
            json.loads(text)
    else:
        if not re.search(r"[#/]|,\s*[\]}]", text):
            json.loads(text)


@pytest.mark.parametrize(
    ("text", "path", "new"),
    [
        pytest.param('{"a":1}', ("b",), '{"a":1,"b":8}', id="one line, compact"),
        pytest.param('{"a": 1}\n', ("b", "c"), '{"a": 1, "b": {"c": 8}}\n', id="one line"),
        pytest.param('{ "a": 1 }', ("b",), '{ "a": 1, "b": 8 }', id="one line, with air"),
        pytest.param("{}", ("b",), '{\n    "b": 8\n}', id="empty"),
        pytest.param('{"a": {}}', ("a", "b"), '{"a": {"b": 8}}', id="empty in one line"),
        pytest.param('{\n\t"a": {}\n}', ("a", "b"), '{\n\t"a": {\n\t\t"b": 8\n\t}\n}', id="empty in lines"),
        pytest.param('{\n  "a": 1\n}', ("b", "c"), '{\n  "a": 1,\n  "b": {\n    "c": 8\n  }\n}', id="two blanks"),
        pytest.param('{\r\n "a": 1\r\n}\r\n', ("b",), '{\r\n "a": 1,\r\n "b": 8\r\n}\r\n', id="CRLF"),
        pytest.param('{\n  "a": 1, "c": 2\n}', ("b",), '{\n  "a": 1, "c": 2,\n  "b": 8\n}', id="several in a line"),
        pytest.param('{\n  "a": 1 // x\n}', ("b",), '{\n  "a": 1, // x\n  "b": 8\n}', id="comment behind the last"),
        pytest.param('{"a": 1 # x\n}', ("b",), '{"a": 1, # x\n    "b": 8\n}', id="comment ends the only line"),
        pytest.param('{\n  "a": 1, // x\n}', ("b",), '{\n  "a": 1, // x\n  "b": 8,\n}', id="trailing comma"),
        pytest.param('{ /* "b": 1 */ }', ("b",), '{ /* "b": 1 */\n    "b": 8\n }', id="only a comment"),
        pytest.param('{"b" : 4 /* x */ }', ("b",), '{"b" : 8 /* x */ }', id="replaced"),
        pytest.param('{"b": null}', ("b", "c"), '{"b": {"c": 8}}', id="null is a table that is not there"),
        pytest.param(
            '{"l": [{"type": "fs", "root": "/kv"}]}',
            ("l", FS, "n"),
            '{"l": [{"type": "fs", "root": "/kv", "n": 8}]}',
            id="entry found",
        ),
        pytest.param(
            '{"l": [\n  {"type": "x"}\n]}',
            ("l", FS, "n"),
            '{"l": [\n  {"type": "x"},\n  {\n    "type": "fs",\n    "root": "/kv",\n    "n": 8\n  }\n]}',
            id="entry added",
        ),
        pytest.param('{"l":[]}', ("l", FS, "n"), '{"l":[{"type": "fs", "root": "/kv", "n": 8}]}', id="first entry"),
        pytest.param('{"b": 1, "x": 1, "x": 2}', ("b",), '{"b": 8, "x": 1, "x": 2}', id="twice, but not ours"),
    ],
)
def test_where_it_goes(text: str, path: Path, new: str) -> None:
    assert json_editor.set_value(text, path, 8) == new
    assert json_editor.set_value(new, path, 8) == new


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expecting value, words in double quotes \(line 1\)"),
        ("// nothing\n", r"expecting value.*\(line 2\)"),
        ('{"a": {"b": 1}', r'expected "," or "}" \(line 1\)'),
        ('{"a": {"b": 1}}}', r"expected the end"),
        ('{\n"a": [1}', r'expected "," or "]" \(line 2\)'),
        ('{"x" 1}', r'expected ":"'),
        ('{"x": yes}', r"expecting value"),
        ("{x: 1}", r"expected a key in double quotes"),
        ("{'x': 1}", r"expected a key in double quotes"),
        ('{"x": 1 /* }', r"comment is not closed \(line 1\)"),
        ('{"x": "1\n"}', r"control character.*\(line 1\)"),
        ('{"x": "1', r"unterminated string"),
        pytest.param('{"x": ' + "9" * 5000 + "}", r"too many digits", id="digits", marks=digits_are_limited),
        ('{"x": 1,, "y": 1}', r"expected a key"),
        ("[]", r"the document must be a table \(line 1\); rename or remove"),
        ('{\n"a": 1}', r"a must be a table \(line 2\); rename or remove"),
        ('{"a": [\n]}', r"a must be a table"),
        ('{"a": {"b": {}}}', r"a\.b must be a single value"),
        ('{"a": {"b": [1]}}', r"a\.b must be a single value"),
        ('{"a": {"b": 1,\n"b": 2}}', r"a\.b occurs 2 times \(line 2\); keep one"),
        ('{"a": {},\n"a": {"b": 1}}', r"a occurs 2 times \(line 2\)"),
    ],
)
def test_what_cannot_be(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        json_editor.set_value(text, ("a", "b"), 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"l": {}}', r"l must be a list of tables"),
        ('{"l": [1]}', r"l must be a list of tables"),
        ('{"l": [{"type": "fs", "root": "/kv"},\n{"root": "/kv", "type": "fs"}]}', r"occurs 2 times \(line 2\)"),
    ],
)
def test_what_is_no_list_of_tables(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        json_editor.set_value(text, ("l", FS, "n"), 8)


def test_entries_are_told_by_type_too() -> None:
    new = json_editor.set_value('{"l": [{"id": 1}, {"id": true}]}', ("l", Entry((("id", True),)), "n"), 8)
    assert new == '{"l": [{"id": 1}, {"id": true, "n": 8}]}'


def test_deep_and_large() -> None:
    deep = '{"x": ' + "[" * 100_000 + "]" * 100_000 + ', "a": 1}'
    assert json_editor.set_value(deep, ("a",), 8) == deep[:-2] + "8}"
    large = json.dumps({"x": "\\u\"'ü" * 400_000})
    assert json_editor.set_value(large, ("a",), 8) == large[:-1] + ', "a": 8}'
    wide = json.dumps({"x": list(range(50_000))})
    assert json_editor.set_value(wide, ("a",), 8) == wide[:-1] + ', "a": 8}'


def test_halves_of_characters_stay() -> None:
    text = '{"\\ud800": "\udc80\\udfff"}'
    assert json_editor.set_value(text, ("a",), 8) == text[:-1] + ', "a": 8}'
