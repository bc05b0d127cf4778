from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from ruamel.yaml import YAML

from aio_tuned.consumers.export import Entry, Export
from aio_tuned.consumers.merge.document import same
from aio_tuned.consumers.rendering import render
from aio_tuned.errors import UsageError
from unit.support.consumer_values import VALUES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.consumers.export import Format, Value
    from aio_tuned.consumers.merge.document import Path


def export(name: Format, values: dict[Path, Value], *notes: str) -> Export:
    return Export(format=name, values=values, notes=notes)


def load_yaml(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


LOAD: dict[str, Callable[[str], object]] = {"json": json.loads, "toml": tomllib.loads, "yaml": load_yaml}


@pytest.mark.parametrize("name", ["json", "toml", "yaml"])
def test_a_fresh_configuration_reads_back(name: Format) -> None:
    text = render(export(name, VALUES, "block_size: capped\nat 1 MiB", "queue_depth: none"))
    assert same(
        LOAD[name](text),
        {
            "aio": {"block_size": 1 << 20, "single_submit": False, "queue_depth": 16},
            "ratio": 1e-05,
            "tiers": [{"type": "fs", "root": '/kv "ü"\\', "threads": 4, "options": {"engine": "on"}}],
        },
    )
    assert text.startswith("{" if name == "json" else "# block_size: capped\n# at 1 MiB\n# queue_depth: none\n")


def test_a_fresh_toml_file() -> None:
    values: dict[Path, Value] = {
        ("a", "b"): 1,
        ("x",): "y",
        ("a", "c d", "e"): True,
        ("l", Entry((("i", 1),)), "n"): 2,
        ("l", Entry((("i", 2),)), "n"): 3,
    }
    assert render(export("toml", values, "n: none")) == (
        '# n: none\nx = "y"\n\n[a]\nb = 1\n\n[a."c d"]\ne = true\n\n[[l]]\ni = 1\nn = 2\n\n[[l]]\ni = 2\nn = 3\n'
    )


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
def test_yaml_that_old_and_new_readers_take_alike(value: Value, written: str) -> None:
    assert render(export("yaml", {("b",): value, ("on",): value})) == f'b: {written}\n"on": {written}\n'


def test_a_fresh_environment_file() -> None:
    values: dict[Path, Value] = {("KVIKIO_NTHREADS",): 4, ("DIRECT",): True, ("ROOT",): "/mnt/kv-1"}
    assert render(export("env", values, "BS: none")) == "# BS: none\nKVIKIO_NTHREADS=4\nDIRECT=true\nROOT=/mnt/kv-1\n"


def test_an_environment_file_with_quotes() -> None:
    values: dict[Path, Value] = {("KVIKIO_NTHREADS",): 4, ("DIRECT",): True, ("ROOT",): "/mnt/kv-1#%+="}
    made = render(export("env", values, "BS: it's none"), quoted=True)
    assert made == "# BS: it's none\nKVIKIO_NTHREADS='4'\nDIRECT='true'\nROOT='/mnt/kv-1#%+='\n"
    assert subprocess.check_output(["sh", "-c", 'eval "$1"; echo "$DIRECT $ROOT"', "sh", made], text=True) == (
        "true /mnt/kv-1#%+=\n"
    )


@pytest.mark.parametrize("word", ["it's", "a b", "a\nb", '"', "$HOME", "\\"])
def test_what_no_reader_takes_alike_is_refused_with_quotes_too(word: str) -> None:
    with pytest.raises(UsageError, match="needs quotes in an environment file"):
        render(export("env", {("ROOT",): word}), quoted=True)


@pytest.mark.parametrize("name", ["json", "toml", "yaml", "fio"])
def test_only_an_environment_has_quotes(name: Format) -> None:
    with pytest.raises(UsageError, match=f"--quoted: not for {name}; leave it out"):
        render(export(name, {("a", "b"): 1}), quoted=True)


def test_a_fresh_job_file() -> None:
    values: dict[Path, Value] = {("global", "bs"): 4096, ("j", "group_reporting"): True, ("j", "loops"): False}
    assert (
        render(export("fio", values, "bs: capped"))
        == "# bs: capped\n[global]\nbs=4096\n\n[j]\ngroup_reporting\nloops=0\n"
    )


@pytest.mark.parametrize("name", ["json", "toml", "yaml", "env", "fio"])
@pytest.mark.parametrize("part", ["value", "entry"])
def test_a_path_that_is_no_text_is_refused(name: Format, part: str) -> None:
    path: Path = ("l", Entry((("root", "/kv\udc80"),)), "n")
    with pytest.raises(UsageError, match="not valid UTF-8; choose another path"):
        render(export(name, {("root",): "/kv\udc80"} if part == "value" else {path: 1}))


@pytest.mark.parametrize("value", ["a#b", "a;b", "a\nb", "a ", " a"])
def test_values_that_a_job_file_cannot_hold_are_refused(value: str) -> None:
    with pytest.raises(UsageError, match="a fio job file cannot hold"):
        render(export("fio", {("j", "filename"): value}))
