from __future__ import annotations

import pytest

from aio_tuned.consumers.export import Export
from aio_tuned.consumers.merge import apply
from aio_tuned.consumers.rendering import render
from aio_tuned.errors import ConfigError, UsageError
from unit.support.merging import merged


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
            make(Export(format="env", values={("N",): value}))


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
