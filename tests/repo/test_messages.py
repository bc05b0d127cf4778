"""docs/messages.md lists every message of the sources, and no other; what commands print is on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from aio_tuned.cli.main import main
from message_page import PAGE, line, lines, listed, unlisted
from repo import message_sources
from unit.support.builders import FAKE_HELPER

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from repo.message_sources import Message

ON_PAGE = dict(lines(PAGE.read_text(encoding="utf-8")))


def codes(found: Iterable[Message]) -> dict[str, str]:
    """The exit codes of each message, as the page has them."""
    known: dict[str, set[str]] = {}
    for message in found:
        known.setdefault(message.text, set()).update({message.exit_code} - {""})
    return {text: ",".join(sorted(of_text)) or "-" for text, of_text in known.items()}


# --- the page and the sources --------------------------------------------------------------------------------


def test_every_message_is_on_the_page() -> None:
    found = message_sources.all_messages()
    known = codes(found)
    missing = {each.text: each.place for each in found if each.text not in ON_PAGE}
    ready = "\n".join(f"{line(text, known[text])}    ({place})" for text, place in missing.items())
    assert not missing, (
        "add to the fitting section of docs/messages.md, without the place (or, if a module lays out a report, name it"
        f" in NO_MESSAGES of message_sources.py):\n{ready}"
    )


def test_every_message_on_the_page_is_in_the_sources() -> None:
    known = {each.text for each in message_sources.of_python(min_words=1) + message_sources.of_helper()}
    stale = "\n".join(text for text in ON_PAGE if text not in known)
    assert not stale, (
        f"no source has these any more; remove them from docs/messages.md, or correct them there:\n{stale}"
    )


def test_the_exit_codes_are_those_of_the_errors() -> None:
    known = codes(message_sources.of_python(min_words=1) + message_sources.of_helper())
    wrong = [line(text, known[text]) for text, given in ON_PAGE.items() if known.get(text, given) != given]
    assert not wrong, "docs/messages.md must have:\n" + "\n".join(wrong)


def test_no_message_is_listed_twice() -> None:
    texts = [text for text, _ in lines(PAGE.read_text(encoding="utf-8"))]
    assert sorted(texts) == sorted(set(texts))


def test_the_index_leads_to_every_section() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    index = page.partition("\n## ")[0]
    assert set(re.findall(r"\(#([^)]+)\)", index)) == anchors
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= anchors


# --- what is found in a source -------------------------------------------------------------------------------

SOURCE = '''
"""A docstring is no message."""
_LOG.warning("%s: the %d dogs bark", name, number)
_TARGET = "a help text is no message either"
parser.add_argument("x", help="nor is this one here", metavar="A SHORT WORD OR TWO")
other.add_argument("y", help=_TARGET)
raise TargetError(f"{path}: odd{' and quite unusual indeed' if odd else ''}" + ", said so")
raise HelperError("the helper sings", Exit.IO)
raise ValueError("wrong")
Failed(reason="gone")
findings.append(f"the drive is {colour} today")
short = "two words"
'''


def test_what_tells_a_person_something_is_found(tmp_path: Path) -> None:
    (tmp_path / "made_up.py").write_text(SOURCE)
    found = {(each.text, each.exit_code) for each in message_sources.of_python(tmp_path)}
    assert found == {
        ("…: the … dogs bark", ""),
        ("…: odd…, said so", "66"),
        ("and quite unusual indeed", ""),
        ("the helper sings", "74"),
        ("wrong", ""),
        ("gone", ""),
        ("the drive is … today", ""),
    }
    assert not {text for text, _ in found} & set(ON_PAGE), "a page that had them would pass for complete"


C_SOURCE = """
#define bad(fault, ...) fault_set(fault, FAULT_USAGE, "usage", 0, __VA_ARGS__)
/* "a comment is no message" */
return bad(fault, "%s: \\"odd\\"", word);
return fault_set(fault, FAULT_IO, "read", 0, "%s: %" PRIu64 " bytes "
                 "are odd", path, bytes);
(void)fprintf(stderr, "aio-sweep: the dogs bark\\n");
emit_string(emit, "op", word);
"""


def test_what_the_helper_says_is_found(tmp_path: Path) -> None:
    (tmp_path / "made_up.c").write_text(C_SOURCE)
    (tmp_path / "fault.h").write_text("FAULT_USAGE = 64,\nFAULT_IO = 74,\n")
    found = [(each.text, each.exit_code) for each in message_sources.of_helper(tmp_path)]
    assert found == [('…: "odd"', "64"), ("…: … bytes are odd", "74"), ("aio-sweep: the dogs bark", "")]


def test_enough_is_found_at_all() -> None:
    """A search that has lost its way would find the page complete: half of what there is must be there."""
    assert len(codes(message_sources.of_python())) > 200
    assert len(codes(message_sources.of_helper())) > 40


# --- what is printed -----------------------------------------------------------------------------------------


def test_what_is_listed() -> None:
    assert listed("/etc/x.conf: [sweep] time_budget: 0 is not a usable time: it must be more than 0 and at most a week")
    assert listed("/mnt/x: No such file or directory")
    assert listed("not within 2 s: nothing")
    for text in ("", "the dogs bark", "/mnt/x: odd", "No such luck", "/x: unknown section"):
        assert not listed(text), text
    assert unlisted("usage: aio-tuned\naio-tuned: the dogs bark\naio-tuned: /x: no such file\n") == ["the dogs bark"]


CONFIGURATIONS = {
    "no TOML": "[sweep",
    "a section that is unknown": "[sweeep]\n",
    "a key that is unknown": "[sweep]\nbudget = 1\n",
    "a size that is none": '[sweep]\nspan_bytes = "much"\n',
    "a size of nothing": "[sweep]\nspan_bytes = 0\n",
    "a time that is none": '[sweep]\ntime_budget = "soon"\n',
    "hours that are none": '[throttle]\nquiet_hours = ["8-20"]\n',
    "hours without a list": '[throttle]\nquiet_hours = "08:00-20:00"\n',
    "a heat that cannot be": "[throttle]\nmax_celsius = 20\n",
    "a word that is unknown": '[safety]\nraw_write = "always"\n',
    "an empty list": "[grid]\nqueue_depth = []\n",
    "a block of odd size": "[grid]\nblock_size = 1000\n",
    "a depth of nothing": "[grid]\nqueue_depth = 0\n",
    "a flag that is a number": "[grid]\nsingle_submit = 1\n",
    "a relative path": '[paths]\nstate = "var"\n',
    "a rule with one bracket": '[match]\nname = "vd*"\n',
    "a rule that says nothing": '[[match]]\nname = "vd*"\n',
    "a rule for no drive": "[[match]]\ntune = true\n",
}


@pytest.mark.parametrize("text", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_mistakes_in_the_configuration_are_listed(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "aio-tuned.conf"
    path.write_text(text)
    assert main(["check-config", str(path)]) == 78
    said = capsys.readouterr().err
    assert said.startswith("aio-tuned: ")
    assert unlisted(said) == []


COMMANDS = (
    "tune DIR/missing --helper FAKE",
    "tune DIR/x/y --helper FAKE",
    "tune /proc --helper FAKE",
    "tune /dev/null --helper FAKE",
    "tune DIR --helper /no/helper",
    "tune DIR --helper FAKE --out DIR/aio-tuned.conf",
    "show nobody",
    "show DIR/torn.toml",
    "status",
    "stop nobody",
    "retune DIR/missing",
    "get DIR",
    "get /proc",
    "get DIR/missing",
    "get --default DIR bogus",
    "wait DIR --timeout 0.1",
    "explain /proc",
    "export vllm DIR",
    "export deepspeed DIR --default --merge DIR/missing.json",
    "export deepspeed DIR --default --merge DIR/torn.json",
    "export vllm DIR --default --for-version soon",
    "export vllm DIR --default --for-version 0.1",
    "export cufile DIR --default --max-block-size 4K",
    "export deepspeed DIR --default --max-block-size 512",
    "check-config DIR/missing.conf",
)


@pytest.mark.parametrize("words", COMMANDS)
def test_mistakes_at_the_command_line_are_listed(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "aio-tuned.conf"
    folders = {"profiles": "profiles", "state": "state", "runtime": "run"}
    conf.write_text("[paths]\n" + "".join(f'{key} = "{tmp_path}/{name}"\n' for key, name in folders.items()))
    (tmp_path / "torn.toml").write_text("schema = 1\n[device")
    (tmp_path / "torn.json").write_text('{"aio": ')
    given = [word.replace("DIR", str(tmp_path)).replace("FAKE", str(FAKE_HELPER)) for word in words.split()]
    code = main(["--config", str(conf), *given])
    said = capsys.readouterr().err
    assert code
    assert said.startswith("aio-tuned: ")
    assert unlisted(said) == []
