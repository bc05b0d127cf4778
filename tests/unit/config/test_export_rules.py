from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.export_rules import FOLDERS, ExportRule
from aio_tuned.config.load import Config, load_config, parse_config
from aio_tuned.config.render import render
from aio_tuned.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = "/run/aio-tuned/export/kvikio.env"
LEAST = f'[[export]]\nconsumer = "kvikio"\npath = "/mnt/a b"\nfile = "{FILE}"\n'
RULE = ExportRule(consumer="kvikio", path=Path("/mnt/a b"), file=Path(FILE))
ALL = replace(RULE, mode=0o640, max_block_size=1 << 20, request_size=65536, for_version="25.8")


def test_a_rule_needs_three_keys_and_has_defaults() -> None:
    assert parse_config(LEAST, "x").export == (RULE,)
    assert parse_config(LEAST, "x").export_folders == FOLDERS
    assert Config().export == ()


def test_every_key_is_read_and_reads_back() -> None:
    text = LEAST + 'mode = "0640"\nmax_block_size = "1M"\nrequest_size = "64K"\nfor_version = "25.8"\n'
    config = parse_config(text, "x")
    assert config.export == (ALL,)
    assert parse_config(render(config), "x") == config


def test_the_rules_of_drop_ins_follow_those_of_the_file() -> None:
    first = parse_config(LEAST, "x")
    assert parse_config(LEAST.replace("kvikio", "runai"), "y", first).export[0] == RULE
    assert [rule.consumer for rule in parse_config(LEAST.replace("kvikio", "runai"), "y", first).export] == [
        "kvikio",
        "runai",
    ]


def without(key: str) -> str:
    return "".join(line for line in LEAST.splitlines(keepends=True) if not line.startswith(key))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[export]\nconsumer = "kvikio"\n', "each rule is a table; write [[export]], with two brackets"),
        (without("consumer"), "rule 1: lacks consumer; set consumer, path, file"),
        (without("path"), "rule 1: lacks path"),
        (without("file"), "rule 1: lacks file"),
        (LEAST + LEAST + "mode = 5\n", "rule 2: mode: 5 is not one of 0600, 0640, 0644"),
        (LEAST + 'mode = "0666"\n', 'rule 1: mode: "0666" is not one of 0600, 0640, 0644'),
        (LEAST + 'mode = "4644"\n', "is not one of"),
        (LEAST + 'owner = "www"\n', "rule 1: unknown key 'owner'"),
        (LEAST + 'consumr = "x"\n', "unknown key 'consumr'; did you mean 'consumer'?"),
        (LEAST + 'request_size = "x"\n', 'request_size: "x" is not a size'),
        (LEAST + 'max_block_size = "1000"\n', "max_block_size"),
        (LEAST + 'for_version = ""\n', "for_version"),
        (LEAST + "for_version = 1.2\n", "for_version: 1.2 is not a text; write it between quotes"),
        (LEAST.replace("/mnt/a b", "mnt"), 'path: "mnt" is not an absolute path'),
        (LEAST.replace("kvikio.env", "../kvikio.env"), "contains .. or a control character"),
        (LEAST.replace("kvikio.env", "kvikio\\nenv"), "contains .. or a control character"),
        (LEAST.replace("kvikio.env", ".kvikio"), "begins with no dot"),
        ('[publish]\nexport_folders = ["/run/../etc"]\n', "[publish] export_folders: '/run/../etc' contains .."),
        ('[publish]\nexport_folders = "/run"\n', "is not a list of paths"),
    ],
)
def test_what_is_wrong_is_named(text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=r"^x: \[") as caught:
        parse_config(text, "x")
    assert error in str(caught.value)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Config]:
    def from_text(text: str) -> Config:
        path = tmp_path / "aio-tuned.conf"
        path.write_text(text)
        return load_config(path)

    return from_text


def test_a_file_must_be_directly_in_a_folder_of_the_list(load: Callable[[str], Config]) -> None:
    assert load(LEAST).export == (RULE,)
    with pytest.raises(
        ConfigError, match=r"/etc/passwd: not directly in a folder of \[publish\] export_folders \(/run"
    ):
        load(LEAST.replace(FILE, "/etc/passwd"))
    with pytest.raises(ConfigError, match="not directly"):
        load(LEAST.replace("kvikio.env", "below/kvikio.env"))
    with pytest.raises(ConfigError, match=r"\(none\)"):
        load(LEAST + "[publish]\nexport_folders = []\n")
    assert load(LEAST.replace(FILE, "/srv/x") + '[publish]\nexport_folders = ["/srv"]\n').export[0].file == Path(
        "/srv/x"
    )


def test_two_rules_cannot_have_one_file(load: Callable[[str], Config]) -> None:
    with pytest.raises(ConfigError, match=rf"\[\[export\]\] {FILE}: the file of two rules"):
        load(LEAST + LEAST.replace("kvikio", "runai", 1))
    with pytest.raises(ConfigError, match="the file of two rules"):
        load(LEAST + LEAST.replace("/export/", "//export/./"))


@pytest.mark.parametrize("folder", ["/etc/aio-tuned", "/var/lib/aio-tuned", "/run/aio-tuned"])
def test_the_daemons_own_folders_are_not_for_rules(load: Callable[[str], Config], folder: str) -> None:
    with pytest.raises(ConfigError, match=rf"{folder}: a folder of \[paths\]"):
        load(f'[publish]\nexport_folders = ["{folder}"]\n')
