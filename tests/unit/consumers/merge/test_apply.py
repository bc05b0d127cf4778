from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from aio_tuned.consumers.export import Entry, Export
from aio_tuned.consumers.merge import apply
from aio_tuned.consumers.merge.document import put, same
from aio_tuned.consumers.rendering import render
from aio_tuned.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aio_tuned.consumers.export import Format, Value
    from aio_tuned.consumers.merge.document import Path

FORMATS: list[Format] = ["json", "yaml", "env"]
FS = Entry((("type", "fs"), ("root", '/kv "ü"\\')))
VALUES: dict[Path, Value] = {
    ("aio", "block_size"): 1 << 20,
    ("aio", "single_submit"): False,
    ("ratio",): 1e-05,
    ("tiers", FS, "threads"): 4,
    ("tiers", FS, "options", "engine"): "on",
    ("aio", "queue_depth"): 16,
}
FLAT: dict[str, dict[Path, Value]] = {
    "env": {("KVIKIO_NTHREADS",): 4, ("DIRECT",): True, ("ROOT",): "/mnt/kv-1"},
}


def export(name: Format, values: Mapping[Path, Value] | None = None, notes: tuple[str, ...] = ()) -> Export:
    return Export(format=name, values=values or FLAT.get(name, VALUES), notes=notes)


def merged(name: Format, text: str, path: Path, value: Value = 8) -> str:
    """The text with that value; merging again changes nothing."""
    once = export(name, {path: value})
    new = apply.merge(once, text, "/x/file")
    assert apply.merge(once, new, "/x/file") == new
    return new


def load_yaml(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


LOAD: dict[str, Callable[[str], object]] = {"json": json.loads, "yaml": load_yaml}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", ["", " \n\n", "\ufeff", "\ufeff\r\n"])
def test_an_empty_file_becomes_a_fresh_one(name: Format, text: str) -> None:
    made = export(name, notes=("queue_depth: none",))
    new = apply.merge(made, text, "/x")
    assert new.removeprefix("\ufeff") == render(made)
    assert new.startswith("\ufeff") == text.startswith("\ufeff")
    assert apply.merge(made, new, "/x") == new


@pytest.mark.parametrize("name", FORMATS)
def test_line_ends_and_byte_order_mark_stay(name: Format) -> None:
    given_text = {"json": '{\n"x": 1\n}\n', "yaml": "x: 1\ny:\n  z: 1\n"}
    text = "\ufeff" + given_text.get(name, "X=1\n").replace("\n", "\r\n")
    new = apply.merge(export(name), text, "/x")
    assert new.startswith("\ufeff")
    assert "\n" not in new.replace("\r\n", "")
    assert apply.merge(export(name), new, "/x") == new


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", ["value", "entry"])
def test_a_path_that_is_no_text_is_refused(name: Format, part: str) -> None:
    path: Path = ("l", Entry((("root", "/kv\udc80"),)), "n")
    values: dict[Path, Value] = {("root",): "/kv\udc80"} if part == "value" else {path: 1}
    for make in (render, lambda made: apply.merge(made, "x", "/x")):
        with pytest.raises(UsageError, match="not valid UTF-8: choose another path"):
            make(export(name, values))


# --- any document ----------------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "c", "d e", "x.y", "on", 'q"\\ü'])
PLAIN = st.characters(exclude_categories=["Cs"])
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(PLAIN, max_size=6),
)
TABLES = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=10
    ),
    max_size=4,
)
ENTRIES = st.dictionaries(st.sampled_from(["x", "y"]), SCALARS, min_size=1).map(
    lambda table: Entry(tuple(table.items()))
)
PATHS = st.lists(st.tuples(KEYS) | st.tuples(KEYS, ENTRIES), max_size=2).flatmap(
    lambda parts: KEYS.map(lambda last: (*(key for part in parts for key in part), last))
)


def check(name: Format, document: object, text: str, path: Path, value: Value) -> str:
    """Set the value where that can be, in the text that says the document; else it is refused by name."""
    try:
        wanted = put(document, path, value)
    except ValueError:
        with pytest.raises(ConfigError, match=r"^/x/file: .*: "):
            merged(name, text, path, value)
        return text
    new = merged(name, text, path, value)
    assert same(LOAD[name](new), wanted)
    return new


@settings(derandomize=True, max_examples=200, deadline=None)
@given(TABLES, PATHS, SCALARS, st.sampled_from([False, None, True]), st.sampled_from([2, 4]))
def test_yaml_of_any_kind(document: object, path: Path, value: Value, flow: bool | None, indent: int) -> None:
    dumper = YAML(typ="safe", pure=True)
    dumper.default_flow_style, dumper.indent = flow, indent
    stream = io.StringIO()
    dumper.dump(document, stream)
    text = stream.getvalue()
    try:
        assume(same(load_yaml(text), document))  # ruamel writes {a: :0}, which it cannot read
    except YAMLError:
        assume(False)
    check("yaml", document, text, path, value)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.sampled_from(FORMATS), st.text(st.sampled_from("{}[]:,\"\\/*# \n\t=-&|>a1\r%'?!~"), max_size=25))
def test_any_text_is_merged_or_refused(name: Format, text: str) -> None:
    made = export(name)
    try:
        new = apply.merge(made, text, "/x/file")
    except ConfigError as error:
        assert str(error).startswith("/x/file: ")  # noqa: PT017 - any text may be either
    else:
        assert apply.merge(made, new, "/x/file") == new


# --- where it goes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "new"),
    [
        pytest.param("a:\n  b: 'x' # x\nc:  1\n", ("a", "b"), "a:\n  b: 8 # x\nc:  1\n", id="replaced"),
        pytest.param("b: |\n  x\n\nc: 1\n", ("b",), "b: 8\n\nc: 1\n", id="text replaced"),
        pytest.param("b: # x\nc: 1\n", ("b",), "b: 8 # x\nc: 1\n", id="nothing replaced"),
        pytest.param(
            "a:\n    x: 'y' # x\n    # y\n\n# of c\nc: 1",
            ("a", "b"),
            "a:\n    x: 'y' # x\n    b: 8\n    # y\n\n# of c\nc: 1",
            id="key",
        ),
        pytest.param("a:\n   x: 1\n", ("b", "c", "d"), "a:\n   x: 1\nb:\n   c:\n      d: 8\n", id="tables"),
        pytest.param("a: # x\nc: 1\n", ("a", "b"), "a: # x\n  b: 8\nc: 1\n", id="table without keys"),
        pytest.param("a: ~ # x\n", ("a", "b"), 'a: {"b": 8} # x\n', id="null"),
        pytest.param("a: {x: 1}\n", ("a", "b"), 'a: {x: 1, "b": 8}\n', id="in braces"),
        pytest.param("a: {x: }\n", ("a", "x", "b"), 'a: {x: {"b": 8} }\n', id="nothing in braces"),
        pytest.param("a: |+\n  x\n\n\n", ("b",), "a: |+\n  x\n\n\nb: 8\n", id="below a text with its end"),
        pytest.param("a: >\n  x\n\n# c", ("b",), "a: >\n  x\nb: 8\n\n# c", id="below a text"),
        pytest.param("x: &x {y: 1}\na: *x\n", ("b",), "x: &x {y: 1}\na: *x\nb: 8\n", id="below an alias"),
        pytest.param("a:\n  <<: {b: 1}\n", ("a", "b"), "a:\n  <<: {b: 1}\n  b: 8\n", id="above a merged one"),
        pytest.param("# c", ("b",), "# c\nb: 8\n", id="only a comment"),
        pytest.param("---\na: 1\n...\n", ("b",), "---\na: 1\nb: 8\n...\n", id="marks"),
        pytest.param(
            "l:\n- i: 1\n  x: 1\n", ("l", Entry((("i", 1),)), "m"), "l:\n- i: 1\n  x: 1\n  m: 8\n", id="entry"
        ),
        pytest.param(
            "l:\n  - i: 1\n# z\nz: 1\n",
            ("l", Entry((("i", 2),)), "m"),
            "l:\n  - i: 1\n  - i: 2\n    m: 8\n# z\nz: 1\n",
            id="new entry",
        ),
        pytest.param("l:\n", ("l", Entry((("i", 2),)), "m"), "l:\n  - i: 2\n    m: 8\n", id="first entry"),
        pytest.param("l: [{i: 1}]\n", ("l", Entry((("i", 1),)), "m"), 'l: [{i: 1, "m": 8}]\n', id="entry in brackets"),
    ],
)
def test_where_it_goes_in_yaml(text: str, path: Path, new: str) -> None:
    assert merged("yaml", text, path) == new


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("on", '"on"'),
        ("1:30", '"1:30"'),
        (1e-05, "1.0e-05"),
        (1e16, "1.0e+16"),
        ("\x85😀", '"\\U00000085😀"'),
        (True, "true"),
    ],
)
@pytest.mark.parametrize("text", ["b: 1\n", "{b: 1}\n", "{}\n", "{a: ~}\n"])
def test_yaml_that_old_and_new_readers_take_alike(value: Value, written: str, text: str) -> None:
    assert merged("yaml", text, ("b",), value).count(written) == 1


@pytest.mark.parametrize(
    ("text", "new"),
    [
        pytest.param("# N=1\nX=1\n", "# N=1\nX=1\nN=8\n", id="added"),
        pytest.param("X=1", "X=1\nN=8\n", id="without a last line end"),
        pytest.param("X=1\n\nN=1\nY='1'\n", "X=1\n\nN=8\nY='1'\n", id="replaced"),
        pytest.param("N=1\nN=2\nNN=3\n", "N=1\nN=8\nNN=3\n", id="the last one counts"),
        pytest.param("  export N='a b'\n", "  export N=8\n", id="exported"),
        pytest.param("; c \\\n# c\nN=1", "; c \\\n# c\nN=8", id="comment"),
    ],
)
def test_where_it_goes_in_an_environment_file(text: str, new: str) -> None:
    assert merged("env", text, ("N",)) == new


@pytest.mark.parametrize(
    "value", ["a b", "$HOME", '"a"', "it's", "a\nb", "a;b", "~/a", "`a`", "a\\b", "#a", "*", "(a)", "a\n"]
)
def test_words_that_would_need_quotes_are_refused(value: str) -> None:
    for make in (render, lambda made: apply.merge(made, "N=1\n", "/x")):
        with pytest.raises(UsageError, match=r"(?s)N=.*only in quotes.*choose a path"):
            make(export("env", {("N",): value}))


# --- what cannot be --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("json", "{", r"not valid JSON: .* \(line 1\): correct it first"),
        ("json", '{"a": 1}', r"a must be a table \(line 1\): rename or remove"),
        ("yaml", "a:\n\tb: 1\n", r"not valid YAML: .* \(line 2\): correct it first"),
        ("yaml", "a: \x01", r"not valid YAML: [^\n]*: correct it first"),
        ("yaml", "a: 1\n---\nb: 1", r"not valid YAML: .*single document.* \(line 2\)"),
        ("yaml", "- a", r"the document must be a table \(line 1\)"),
        ("yaml", "x: 1\na: [1]", r"a must be a table \(line 2\)"),
        ("yaml", "a:\n  b: {}", r"a\.b must be a single value \(line 2\)"),
        ("yaml", "a:\n  b: 1\n  b: 2", r"a\.b is there 2 times \(line 3\): leave one"),
        ("yaml", "x: &x\n  y: 1\na: *x\n", r"a \(line 3\) is an alias: write out"),
        ("yaml", "x: &x 1\na:\n  b: *x\n", r"a\.b \(line 3\) is an alias: write out"),
        ("yaml", "a: &x\n  y: 1\nc: *x\n", r".*without changing others: set them by hand"),
    ],
)
def test_the_message_says_where_and_what_to_do(name: Format, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^/x/file: {message}"):
        merged(name, text, ("a", "b"))


@pytest.mark.parametrize(
    "text",
    ["X=1 \\\nN=1\n", "N=1 \\\n", "X=1\\", "N='a\nb'\n", 'N="a\n', "X=1\\\r\nN=2\r\n", 'X="a\nN=1\n"\n', "X='a\n"],
)
def test_a_variable_within_several_lines_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^/x/file: N would be in a value of several lines \(line \d\): write"):
        merged("env", text, ("N",))


@pytest.mark.parametrize("text", ["N=4; export N\n", 'N="4" M=3\n', "N=4 # why\n", "N=$M\n", "N=4 5\n", 'N="a$M"\n'])
def test_a_variable_that_is_more_than_a_word_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^/x/file: N has more than one plain word after it \(line 1\): set it by hand"
    ):
        merged("env", text, ("N",))


@pytest.mark.parametrize("text", ["N=\n", "N= 4 \n", "N='it is'\n", 'N="4"\n', "# it's\nN=4\n", "X='a'\nexport N=4\n"])
def test_one_word_is_replaced(text: str) -> None:
    assert merged("env", text, ("N",)).endswith("N=8\n")


def test_a_folder_with_a_slash_at_its_end_is_the_same_entry() -> None:
    path = ("a", Entry((("root", "/mnt/x"),)), "b")
    assert merged("json", '{"a": [{"root": "/mnt/x/", "b": 1}]}', path) == '{"a": [{"root": "/mnt/x/", "b": 8}]}'


def test_the_line_is_that_of_the_file_as_it_is() -> None:
    made = export("json", {("a", "b"): 1, ("c", "d"): 1})
    with pytest.raises(ConfigError, match=r"^/x/file: c must be a table \(line 4\)"):
        apply.merge(made, '{\n"a": {\n},\n"c": 1\n}', "/x/file")


@pytest.mark.parametrize(("name", "start"), [("yaml", "a: ")])
def test_too_deep_for_a_parser(name: Format, start: str) -> None:
    with pytest.raises(ConfigError, match=r"^/x/file: too deeply nested: set the settings by hand"):
        merged(name, start + "[" * 1100 + "]" * 1100, ("b",))


def test_merging_into_yaml_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ruamel.yaml", "ruamel.yaml.error"):
        monkeypatch.setitem(sys.modules, module, None)
    assert apply.merge(export("yaml"), "", "/x") == render(export("yaml"))
    with pytest.raises(ConfigError, match=r"^/x: .*apt-get install python3-ruamel\.yaml, or .* -m pip install ruamel"):
        apply.merge(export("yaml"), "a: 1\n", "/x")
