from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.consumers.export import Entry, Export
from aio_tuned.consumers.merge import apply
from aio_tuned.consumers.merge.json_editor import load
from aio_tuned.consumers.rendering import render
from aio_tuned.errors import ConfigError, UsageError
from unit.support.consumer_values import VALUES
from unit.support.merging import merged

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Format, Value
    from aio_tuned.consumers.merge.document import Path


FORMATS: list[Format] = ["json", "yaml", "env"]
FLAT: dict[Path, Value] = {("KVIKIO_NTHREADS",): 4, ("DIRECT",): True, ("ROOT",): "/mnt/kv-1"}


def export(name: Format, notes: tuple[str, ...] = ()) -> Export:
    return Export(format=name, values=FLAT if name == "env" else VALUES, notes=notes)


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_exported_is_merged_into_itself_without_a_change(name: Format) -> None:
    text = render(export(name))
    assert apply.merge(export(name), text, "/x") == text


@pytest.mark.parametrize("name", ["json", "yaml", "env", "toml", "fio"])
def test_which_formats_are_merged_into(name: Format) -> None:
    assert apply.is_mergeable(Export(format=name, values={})) == (name in FORMATS)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", ["", " \n\n", "\ufeff", "\ufeff\r\n"])
def test_an_empty_file_becomes_a_fresh_one(name: Format, text: str) -> None:
    made = export(name, notes=("queue_depth: none",))
    new = apply.merge(made, text, "/x")
    assert new.removeprefix("\ufeff") == render(made)
    assert new.startswith("\ufeff") == text.startswith("\ufeff")
    assert apply.merge(made, new, "/x") == new


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("json", ["a.yaml", "a.toml", "a.service"]),
        ("yaml", ["a.TOML", "a.ini", "a.properties"]),
        ("env", ["a.json", "a.yaml", "a.yml", "a.toml", "a.ini", "a.properties", "a.service", "a.xml"]),
    ],
)
@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_a_file_that_is_named_as_another_format_is_refused(name: Format, files: list[str], text: str) -> None:
    for file in files:
        with pytest.raises(ConfigError, match=rf"^/x/{file}: named as a file of another format .*; pass a file of"):
            apply.merge(export(name), text, f"/x/{file}")


@pytest.mark.parametrize(
    ("name", "file"),
    [("json", "a.json"), ("json", "a.conf"), ("yaml", "a.yml"), ("yaml", "a.json"), ("env", ".env"), ("env", "a.sh")],
)
def test_any_other_name_says_nothing(name: Format, file: str) -> None:
    assert apply.merge(export(name), "", f"/x/{file}") == render(export(name))


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
    with pytest.raises(UsageError, match="not valid UTF-8; choose another path"):
        apply.merge(Export(format=name, values=values), "x", "/x")


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"not valid JSON: .* \(line 1\); correct it first"),
        ('{"a": 1}', r"a must be a table \(line 1\); rename or remove"),
    ],
)
def test_the_message_says_where_and_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^/x/file: {message}"):
        merged("json", text, ("a", "b"))


def test_a_folder_with_a_slash_at_its_end_is_the_same_entry() -> None:
    path = ("a", Entry((("root", "/mnt/x"),)), "b")
    assert merged("json", '{"a": [{"root": "/mnt/x/", "b": 1}]}', path) == '{"a": [{"root": "/mnt/x/", "b": 8}]}'


def test_the_line_is_that_of_the_file_as_it_is() -> None:
    made = Export(format="json", values={("a", "b"): 1, ("c", "d"): 1})
    with pytest.raises(ConfigError, match=r"^/x/file: c must be a table \(line 4\)"):
        apply.merge(made, '{\n"a": {\n},\n"c": 1\n}', "/x/file")


def test_json_with_comments_is_read_back_before_it_is_written() -> None:
    assert load('{"a": [1, {"b": null,},], # c\n}') == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(("name", "start"), [("yaml", "a: "), ("json", '{"a": ')])
def test_too_deep_for_a_parser(name: Format, start: str) -> None:
    # Hypothesis, in a test before this one, may leave a higher limit of recursion.
    text = start + "[" * 100_000 + "]" * 100_000 + "}" * (name == "json")
    with pytest.raises(ConfigError, match=r"^/x/file: too deeply nested; add the settings by hand"):
        merged(name, text, ("b",))
