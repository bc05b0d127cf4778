from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
        pytest.param("export X=1\n#\nexport Y=2\n", "export X=1\n#\nexport Y=2\nexport N=8\n", id="to a script"),
        pytest.param("export X=1\nY=2\n", "export X=1\nY=2\nN=8\n", id="to a script that exports some"),
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
        with pytest.raises(UsageError, match=r"(?s)N=.*needs quotes.*choose a path"):
            make(Export(format="env", values={("N",): value}))


# --- what is no environment file -------------------------------------------------------------------------

FOREIGN = {
    "compose": "services:\n  engine:\n    environment:\n      - N=4\n",
    "a list": "- N=4\n",
    "YAML": "N: 4\n",
    "a mark": "---\n",
    "JSON": '{\n  "N": 8\n}\n',
    "JSON on a line": '{"N": 8}',
    "a unit": "[Service]\nEnvironment=N=4\n\n[Install]\nWantedBy=multi-user.target\n",
    "TOML": 'use_aio = "true"\n',
    "TOML's lists": "a=[\n  1,\n]\n",
    "TOML's strings": 'a="""\nN=1\n"""\n',
    "INI": "[global]\nN=4\n",
    "INI without a section": "N = 4\n",
    "properties": "a.b=1\nN=4\n",
    "properties with a colon": "N:4\n",
    "XML": "<N>4</N>\n",
    "a Makefile": "N := 4\nall:\n\techo $(N)\n",
    "Dockerfile": "FROM x\nENV N=4\n",
    "Python": "import os\nN=4\n",
    "csh": "setenv N 4\n",
    "fish": "set -x N 4\n",
    "prose": "N is 4\n",
    "NUL": "N=4\0\n",
    "old Macs": "X=1\rN=4\r",
    "half of it from an old Mac": "# x\rN=4\n",
    "form feed alone": "X=1\n\f\n",
    "a function": "X=1\nf() {\n  N=4\n}\n",
    "a function behind a value": "X=1; f() {\nN=4\nY=1; }\n",
    "a function in parentheses": "X=1; f() (\nN=4\nY=1)\n",
    "a condition": "X=1; if true; then\nN=4\nY=1; fi\n",
    "a loop": "X=1 && for i in 1; do\nN=4\nY=1; done\n",
    "a group": "X=1; {\nN=4\nY=2; }\n",
    "a pipe": "X=1 |\nN=4\n",
    "a here-document": "X=1 cat <<E\nN=4\nE=1\n",
    "a command": "X=$(cat\nN=4\nY=1)\n",
    "a command in quotes": 'X="$(echo \')"\nN=4\nY=1\')"\n',
    "a command in backticks": "X=`cat\nN=4\nY=1`\n",
    "a parameter": "X=${Y:-\nN=4\nZ=1}\n",
    "an array": "X=(\nN=4\nY=1)\n",
    "appended": "N+=4\n",
    "of an array": "N[0]=4\n",
    "a name alone": "N\n",
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_no_environment_file_is_refused(text: str) -> None:
    for name in ("N", "M"):
        with pytest.raises(ConfigError, match=r"^/x/file: line \d (is neither blank|has a value)"):
            merged("env", text, (name,))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("X=1 \\\nN=1\n", id="continued"),
        pytest.param("N=1 \\\n", id="continued at the end"),
        pytest.param("X=1\\", id="without a line end"),
        pytest.param("X=1\\\r\nN=2\r\n", id="with the line ends of DOS"),
        pytest.param("X=1 # c \\\nN=2\n", id="continued in a comment, for systemd"),
        pytest.param("N='a\nb'\n", id="single quotes"),
        pytest.param('N="a\n', id="double quotes"),
        pytest.param('X="a\nN=1\n"\n', id="inside"),
        pytest.param('X="a\nb"\nN=1\n', id="before"),
        pytest.param("X='a\n", id="at the end"),
        pytest.param('X="a\\"\nN=1\nY="\n', id="an escaped quote closes nothing"),
        pytest.param("X='a\\'\nN=1\nY='\n", id="an escaped single quote closes for shells only"),
        pytest.param("X=$'a\\'\nN=1\nY='\n", id="an escaped single quote in a string of bash"),
        pytest.param("X=it's\nN=1\n", id="an apostrophe opens for shells only"),
        pytest.param('X=a\\"\nY="b\nN=1"\n', id="an escaped quote opens nothing"),
    ],
)
def test_a_value_of_several_lines_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^/x/file: line \d has a value that shell.*; write it in closed quotes"):
        merged("env", text, ("N",))


@pytest.mark.parametrize("text", ["# c \\\nN=1\n", "N=1\n# c \\\nX=1\n", "# c \\", "; c \\\n"])
def test_a_comment_that_may_go_on_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^/x/file: line \d is a comment that ends in a backslash, .*; remove that"):
        merged("env", text, ("N",))


@pytest.mark.parametrize(
    "text", ["N=4; export N\n", 'N="4" M=3\n', "N=4 # why\n", "N=$M\n", "N=4 5\n", 'N="a$M"\n', "N= M=1\n"]
)
def test_a_variable_that_is_more_than_a_word_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^/x/file: N: value is not one plain word \(line 1\); set it by hand"):
        merged("env", text, ("N",))


# --- what is right ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["N=\n", "N= 4 \n", "N='it is'\n", 'N="4"\n', "# it's\nN=4\n", "X='a'\nexport N=4\n", "N=Disk_#1\n"]
)
def test_one_word_is_replaced(text: str) -> None:
    assert merged("env", text, ("N",)).endswith("N=8\n")


@pytest.mark.parametrize(
    "line",
    [
        "A=1 # don't change",
        "A='1' # don't change",
        "A= # don't change",
        "# page\fit's",
        "; it's",
        "# \u2028it's\x85\x0b",
        "# c \\\\",
        "# c \\\n# c",
        "# c \\\n",
        'P="say \\"hi"',
        'P="C:\\\\"',
        "P='C:\\dir'",
        "P='it'\\''s'",
        "P=it\\'s",
        'P="it\'s"',
        "P='\"'",
        'P="don\'t" # "',
        'J={"a": 1}',
        "J='{\"a\": [1, 2]}'",
        "L=-Xmx1g -Da=b",
        "L=a;b=c",
        "U=http://x/?a=1&b=2#c",
        "H=$(hostname -s)",
        'H="$(hostname)-${USER:-x}"',
        "H=`hostname`",
        "A=My App (dev)",
        "PATH=$HOME/bin:$PATH; export PATH",
        "A=\xa0\f",
        "A=price$",
        "",
    ],
)
def test_any_other_line_may_be(line: str) -> None:
    assert merged("env", f"{line}\nN=4\n", ("N",)) == f"{line}\nN=8\n"
    assert merged("env", f"N=4\n{line}\n", ("N",)) == f"N=8\n{line}\n"
    if line and "\n" not in line:
        assert merged("env", f"{line}\r\n", ("N",)) == f"{line}\r\nN=8\r\n"


def test_a_drives_own_name_needs_no_quotes() -> None:
    for name in ("nvme-Disk_#1_S_1", "nvme-Disk®_é_1", "/etc/aio-tuned/nvme-Disk_#1.toml"):
        assert merged("env", "N=1\n", ("N",), name) == f"N={name}\n"


# --- whatever it is --------------------------------------------------------------------------------------


def read_by_systemd(text: str) -> dict[str, str]:
    """The variables as systemd's src/basic/env-file.c describes them (states: key, value, quotes, escapes)."""
    found: dict[str, str] = {}
    for line in re.findall(r"(?:[^\\\n]|\\.)+", text, re.DOTALL):  # the accepted files have no value of several lines
        if not line.strip() or line.lstrip()[0] in "#;" or "=" not in line:
            continue
        name, _, given = line.partition("=")
        value, quote, plain = "", "", False
        letters = iter(given.strip(" \t"))
        for letter in letters:
            if quote and letter == quote:
                quote = ""
            elif not quote and not plain and letter in "'\"":
                quote = letter
            elif letter == "\\" and quote != "'":
                value += next(letters, "")
            else:
                plain = plain or not (quote or letter in " \t")
                value += letter
        assert not quote, f"systemd reads on after {line!r}"
        found[name.strip()] = value
    return found


def read_by_docker(text: str) -> dict[str, str]:
    """The variables as `docker run --env-file` takes them: each line that is no comment, without any quotes."""
    lines = [line.lstrip() for line in text.split("\n")]
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] not in "#;")


def read_by_sh(text: str, folder: Path) -> dict[str, str] | None:
    """The variables A and N after sh has read the file, in which no command can be found; None after an error."""
    (folder / "env").write_text(text)
    script = 'set -a; . ./env 2>/dev/null; /usr/bin/printf \'%s\\0\' "A=$A" "N=$N"'
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=folder,
        env={"PATH": "/nonexistent"},
        capture_output=True,
        check=False,
        timeout=20,
    )
    if done.returncode:
        return None
    return dict(word.split("=", 1) for word in done.stdout.decode().split("\0")[:-1])


PARTS = st.sampled_from(["A=", "N=", "1", " ", "\t", "'", '"', "\\", "#", "$", "(", ")", "{", "}", "`", ";", "&", "\n"])


@settings(derandomize=True, max_examples=400, deadline=None)
@given(st.lists(PARTS, max_size=14).map("".join))
@example("A='\\'\nN='")
@example('A=1\\"\nN=1\nA="')
def test_what_is_merged_is_read_alike_and_all_else_as_before(text: str) -> None:
    try:
        new = apply.merge(Export(format="env", values={("N",): 8}), text, "/x")
    except ConfigError:
        return
    for read in (read_by_systemd, read_by_docker):
        before, after = read(text), read(new)
        assert after == {**before, "N": "8"}
    with tempfile.TemporaryDirectory() as folder:
        was, now = (read_by_sh(one, Path(folder)) for one in (text, new))
    assert was is None or now == {**was, "N": "8"}
