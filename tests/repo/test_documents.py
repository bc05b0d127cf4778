"""docs/ and README: every link resolves, the index is complete, README is short, and its commands exist."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from aio_tuned import consumers
from aio_tuned.cli import main
from aio_tuned.config.device_rules import PATTERN_KEYS
from aio_tuned.config.export_rules import RULE_KEYS
from aio_tuned.config.load import parse_config
from documents import anchors, anchors_used, commands, links
from unit.support.builders import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = PROJECT / "docs"
README = PROJECT / "README.md"
DOCUMENTS = sorted([README, PROJECT / "native/PROTOCOL.md", *FOLDER.rglob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    assert [link for link in links(path) if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_anchor_of_a_link_is_a_heading(path: Path) -> None:
    assert [(to.name, anchor) for to, anchor in anchors_used(path) if anchor not in anchors(to)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_source_that_a_document_names_exists(path: Path) -> None:
    named = set(re.findall(r"`((?:tests|native|daemon|systemd|etc|docs)/[\w/.-]+)`", path.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if "NAME" not in name and not (PROJECT / name).exists()] == []


def test_the_index_has_every_document_and_folder() -> None:
    linked = links(FOLDER / "index.md")
    kinds = ("tutorial", "how-to", "reference", "explanation")
    there = {path.name for path in FOLDER.iterdir()} - {"index.md", *kinds}
    assert there == {link.partition("/")[0] for link in linked} - {"..", *kinds}
    pages = {str(path.relative_to(FOLDER)) for kind in kinds for path in (FOLDER / kind).glob("*")}
    assert pages == {link for link in linked if link.partition("/")[0] in kinds}


def test_a_link_that_leads_nowhere_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text(
        "# One `x`\n[a](gone.md#part), [b](https://example.org), `[c](code.md)`, [d](#no)\n"
    )
    assert links(tmp_path / "one.md") == {"gone.md"}
    assert list(anchors_used(tmp_path / "one.md")) == [(tmp_path / "gone.md", "part"), (tmp_path / "one.md", "no")]
    assert anchors(tmp_path / "one.md") == {"one-x"}


# --- README ----------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 160
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("heading", ["Quick start", "Daemon", "Frameworks"])
def test_the_commands_of_the_readme_exist(heading: str) -> None:
    """tests/vm/newcomer.py types the first two lists on a fresh machine."""
    targets = re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    listed = commands(README, heading)
    assert listed
    for command in listed:
        words = shlex.split(command.removeprefix("sudo "))
        if words[0] == "make":
            assert words[1] in targets, command
        elif words[0].endswith("aio-tuned"):
            main.parser().parse_args(words[1:])


def test_a_readers_first_commands_are_tune_and_test() -> None:
    assert {"sudo make tune", "sudo make test"} <= set(commands(README, "Quick start"))
    assert "sudo make test" in "\n".join(README.read_text(encoding="utf-8").splitlines()[:30])


# --- lists that are written by hand ----------------------------------------------------------------------


def test_every_consumer_has_its_row() -> None:
    text = (FOLDER / "reference/consumers.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)) == sorted(consumers.NAMES)


def test_every_key_of_an_export_rule_is_named_where_the_configuration_explains_them() -> None:
    shipped = (PROJECT / "etc/aio-tuned.conf").read_text(encoding="utf-8")
    comment = shipped[shipped.index("# Files that the daemon keeps") : shipped.index("# [[export]]")]
    assert [key for key in RULE_KEYS if not re.search(rf"\b{key}\b", comment)] == []
    example = re.sub(r"^# ?", "", shipped[shipped.index("# [[export]]") :], flags=re.MULTILINE)
    assert len(parse_config(example[: example.index("\n\n")], "x").export) == 1


def test_every_pattern_of_a_match_rule_is_named_where_the_configuration_explains_them() -> None:
    shipped = (PROJECT / "etc/aio-tuned.conf").read_text(encoding="utf-8")
    comment = shipped[shipped.index("# Which drives") : shipped.index("# [[match]]")]
    assert [key for key in PATTERN_KEYS if not re.search(rf"\b{key}\b", comment)] == []
