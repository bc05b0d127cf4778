from __future__ import annotations

import io
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
from aio_tuned.errors import ConfigError
from unit.support.merging import merged

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Value
    from aio_tuned.consumers.merge.document import Path


def load(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


# --- all else stays --------------------------------------------------------------------------------------

LMCACHE = """\
# LMCache on gpu-17
%YAML 1.2
---
chunk_size:  256        # tokens
local_cpu: True
local_disk: "file:///mnt/kv/"
remote_url: ~
base: &base {a: 0x10, b: [1, 2,
  3]}                   # two lines
notes: |
  a text
  # of three

  paragraphs

# what the operator has tried

extra_config:
    <<: *base
    # the first
    use_odirect: False  # was slow
    'quoted':   'single'
    word: on
    table:
        - x: 1
        - {y: "z", w: 1_000}
    # disk_io_threads: 8

# the end
pd: {role: sender}
...
"""


def without_alias(text: str) -> str:
    """The same without what makes the table refer to another."""
    return text.replace("    <<: *base\n", "")


def test_comments_order_anchors_quotes_styles_marks_and_indentation_stay() -> None:
    text = without_alias(LMCACHE)
    new = merged("yaml", text, ("extra_config", "use_odirect"), True)
    assert new == text.replace("use_odirect: False  #", "use_odirect: true   #")
    newer = merged("yaml", new, ("extra_config", "disk_io_threads"))
    assert newer == new.replace(
        "w: 1_000}\n    # disk_io_threads: 8\n", "w: 1_000}\n    disk_io_threads: 8\n    # disk_io_threads: 8\n"
    )
    newest = merged("yaml", newer, ("deep", "table", "count"))
    assert newest == newer.replace("sender}\n", "sender}\ndeep:\n    table:\n        count: 8\n")


def test_a_table_that_refers_to_another_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^/x/file: extra_config \(line 18\): formatting cannot be kept; set extra_config"
    ):
        merged("yaml", LMCACHE, ("extra_config", "n"))


WORDS = st.sampled_from(
    ["1", "0x10", "1_000", "1.50", "True", "on", "w x", "'s'", '"t"', '"\\t"', "{x: 1, y: [1, 'z']}", ""]
)
REMARKS = st.sampled_from(["", "", "", " # why", "    # :"])


@st.composite
def blocks(draw: st.DrawFn) -> str:
    """A text of tables in tables, with remarks between and behind, as a person writes it."""
    step = draw(st.sampled_from([2, 3, 4]))

    def table(pad: str, depth: int) -> str:
        text = ""
        for name in draw(st.lists(st.sampled_from("abcd"), unique=True, min_size=1)):
            text += draw(st.sampled_from(["", "", "\n", f"{pad}# {name}\n"]))
            if depth and draw(st.booleans()):
                text += f"{pad}{name}:{draw(REMARKS)}\n" + table(pad + " " * step, depth - 1)
            else:
                blanks = draw(st.sampled_from([" ", "  ", "    "]))
                text += f"{pad}{name}:{blanks}{draw(WORDS)}{draw(REMARKS)}\n"
        return text + draw(st.sampled_from(["", "", f"{pad}# below\n", "\n"]))

    return draw(st.sampled_from(["", "---\n", "# top\n\n"])) + table("", 2)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(blocks(), st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map(tuple))
def test_what_a_person_writes_keeps_all_lines_but_one(text: str, path: Path) -> None:
    document = load(text)
    try:
        wanted = put(document, path, 8)
    except ValueError:
        assume(False)
    new = merged("yaml", text, path)
    assert same(load(new), wanted)
    rest, lost = new.split("\n"), []
    for line in text.split("\n"):
        if line in rest:
            rest = rest[rest.index(line) + 1 :]
        else:
            lost.append(line)
    assert len(lost) <= 1
    assert all(remark in new for line in lost for remark in line.split("#")[1:])


KEYS = st.sampled_from(["a", "b", "c", "d e", "x.y", "on", 'q"\\ü'])
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
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


@settings(derandomize=True, max_examples=100, deadline=None)
@given(TABLES, PATHS, SCALARS, st.sampled_from([False, None, True]), st.sampled_from([2, 4]))
def test_any_document_is_changed_there_alone_or_refused(
    document: object, path: Path, value: Value, flow: bool | None, indent: int
) -> None:
    dumper = YAML(typ="safe", pure=True)
    dumper.default_flow_style, dumper.indent = flow, indent
    stream = io.StringIO()
    dumper.dump(document, stream)
    text = stream.getvalue()
    try:
        assume(same(load(text), document))  # ruamel writes {a: :0}, which it cannot read
    except YAMLError:
        assume(False)
    try:
        new = merged("yaml", text, path, value)
    except ConfigError as error:
        assert str(error).startswith("/x/file: ")  # noqa: PT017 - any text may be either
    else:
        assert same(load(new), put(document, path, value))


# --- where it goes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "new"),
    [
        pytest.param("a:\n  b: 'x' # x\nc:  1\n", ("a", "b"), "a:\n  b: 8   # x\nc:  1\n", id="replaced"),
        pytest.param('b: "x # y" # z\n', ("b",), "b: 8       # z\n", id="text with a mark replaced"),
        pytest.param("b: |\n  x\n\nc: 1\n", ("b",), "b: 8\n\nc: 1\n", id="text replaced"),
        pytest.param("b: # x\nc: 1\n", ("b",), "b: 8 # x\nc: 1\n", id="nothing replaced"),
        pytest.param(
            "a:\n    x: 'y' # x\n    # y\n\n# of c\nc: 1",
            ("a", "b"),
            "a:\n    x: 'y' # x\n    b: 8\n    # y\n\n# of c\nc: 1",
            id="key",
        ),
        pytest.param(
            "a:\n  b:\n    x: 1\n\n    # of d\n  d: 1\n",
            ("a", "b", "c"),
            "a:\n  b:\n    x: 1\n    c: 8\n\n    # of d\n  d: 1\n",
            id="key above a comment",
        ),
        pytest.param("a:\n   x: 1\n", ("b", "c", "d"), "a:\n   x: 1\nb:\n   c:\n      d: 8\n", id="tables"),
        pytest.param("a: # x\nc: 1\n", ("a", "b"), "a: # x\n  b: 8\nc: 1\n", id="table without keys"),
        pytest.param("a: {x: 1}\n", ("a", "b"), "a: {x: 1, b: 8}\n", id="in braces"),
        pytest.param("{a: {x: 1}}\n", ("b",), "{a: {x: 1}, b: 8}\n", id="all in braces"),
        pytest.param("a: >\n  x\n\n# c", ("b",), "a: >\n  x\nb: 8\n\n# c", id="below a text"),
        pytest.param("x: &x {y: 1}\na: *x\n", ("b",), "x: &x {y: 1}\na: *x\nb: 8\n", id="below an alias"),
        pytest.param("a:\n  <<: {b: 1}\n", ("a", "b"), "a:\n  <<: {b: 1}\n  b: 8\n", id="above a merged one"),
        pytest.param("# c\n", ("b",), "# c\nb: 8\n", id="only a comment"),
        pytest.param("---\n# c", ("b",), "---\n# c\nb: 8", id="only a mark"),
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
        pytest.param("x: |\n  y", ("b",), "x: |-\n  y\nb: 8", id="below a text without a line end"),
        pytest.param("x: >2+ # z\n   y", ("b",), "x: >2- # z\n   y\nb: 8", id="below one with marks"),
        pytest.param("a:\n  x: |+\n    y", ("a", "b"), "a:\n  x: |-\n    y\n  b: 8", id="below one in the table"),
        pytest.param("b: 1\nx: |\n  y", ("b",), "b: 8\nx: |\n  y", id="above a text without a line end"),
        pytest.param("b: &t 4\n", ("b",), "b: 8\n", id="anchor of nothing"),
        pytest.param("a:\n  b: &t 4\n  x: *t\n", ("a", "b"), "a:\n  b: 8\n  x: &t 4\n", id="anchor"),
        pytest.param(
            "a:\n  b: &t 'x y' # z\nx: [*t, *t]\n",
            ("a", "b"),
            "a:\n  b: 8        # z\nx: [&t 'x y', *t]\n",
            id="anchor of another table",
        ),
        pytest.param('{"a": {"x": 1}}\n', ("a", "b"), '{"a": {"x": 1, "b": 8}}\n', id="JSON stays JSON"),
        pytest.param('{\n  "x": "&t"\n}', ("a", "b"), '{\n  "x": "&t",\n  "a": {\n    "b": 8\n  }\n}', id="long JSON"),
    ],
)
def test_where_it_goes(text: str, path: Path, new: str) -> None:
    assert merged("yaml", text, path) == new


@pytest.mark.parametrize(
    ("value", "written"), [("on", '"on"'), ("1:30", '"1:30"'), (1e-05, "1.0e-05"), (1e16, "1.0e+16"), (True, "true")]
)
@pytest.mark.parametrize("text", ["b: 1\n", "{b: 1}\n", "{}\n", "a: 1\n"])
def test_old_and_new_readers_take_it_alike(value: Value, written: str, text: str) -> None:
    assert merged("yaml", text, ("b",), value).count(f"b: {written}") == 1
    assert merged("yaml", "a: 1\n", ("on",), value) == f'a: 1\n"on": {written}\n'


# --- what cannot be --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\tb: 1\n", r"not valid YAML: .* \(line 2\); correct it first"),
        ("a: \x01", r"not valid YAML: [^\n]*; correct it first"),
        ("a: 1\n---\nb: 1", r"not valid YAML: .*single document.* \(line 2\)"),
        ("- a", r"the document must be a table; rename or remove"),
        ("~\n", r"the document must be a table; remove"),
        ("x: 1\na: [1]", r"a must be a table; rename or remove"),
        ("a:\n  b: {}", r"a\.b must be a single value; rename or remove"),
        ("a:\n  b: 1\n  b: 2", r'not valid YAML: .*duplicate key "b".* \(line 3\); correct it first'),
        ("? -\nb: 1", r"a key is a table or a list; set the values by hand"),
        ("? - t: a 1\nb: 1", r"a key is a table or a list; set the values by hand"),
        ("x: 1\ry: 1\n", r"mixed line ends; convert them to one kind first"),
        ("x: 1\r\ny: 1\n", r"mixed line ends; convert them to one kind first"),
    ],
)
def test_the_message_says_where_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^/x/file: {message}"):
        merged("yaml", text, ("a", "b"))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x: &x\n  y: 1\na: *x\n", id="alias"),
        pytest.param("x: &x 1\na:\n  b: *x\n", id="alias inside"),
        pytest.param("a: {x: 1,\n  y: 2}\n", id="braces over two lines"),
        pytest.param("a:\n  x: y\n    z\n", id="text over two lines"),
        pytest.param("a:\n  x:\n      y: 1\n  z:\n    w: 1\n", id="two indentations"),
        pytest.param("a: &x\n  y: 1\nc: *x\n", id="anchor of a table"),
        pytest.param("a:\n  x: ~\n", id="null by another name"),
        pytest.param("a:\n  b: | # c\n    x\n", id="comment in what is replaced"),
    ],
)
def test_what_the_round_trip_would_rewrite_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^/x/file: a \(line \d\): formatting cannot be kept; set a\.b "):
        merged("yaml", "q: 1\n" + text, ("a", "b"))
    assert merged("yaml", text, ("q", "b")).startswith(text)


def test_what_would_change_other_values_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"^/x/file: the settings cannot be added without changing other values; add them"
    ):
        merged("yaml", "a: |+\n  x\n\n\n", ("b",))


def test_merging_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ruamel.yaml", "ruamel.yaml.error"):
        monkeypatch.setitem(sys.modules, module, None)
    made = Export(format="yaml", values={("a", "b"): 1})
    assert apply.merge(made, "", "/x") == render(made)
    with pytest.raises(ConfigError, match=r"^/x: .*apt-get install python3-ruamel\.yaml, or .* -m pip install ruamel"):
        apply.merge(made, "a: 1\n", "/x")
