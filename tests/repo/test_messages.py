"""docs/reference/messages.md: each message occurs in the sources, with the exit code that is given for it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from aio_tuned import errors
from aio_tuned.errors import Exit
from unit.support.builders import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = PROJECT / "docs/reference/messages.md"
VARIES = "…"
_BLOCK = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_C_LITERAL = r'"((?:\\.|[^"\\\n])*)"|(PRI\w+)'
_CONVERSION = re.compile(r"%[-.*0-9]*(?:PRI\w+|z?[a-z])")


def _as_listed(text: str) -> str:
    """Return a text as the page has it, without the quotes and line ends of C."""
    return re.sub(f"{VARIES}+", VARIES, _CONVERSION.sub(VARIES, text)).replace('\\"', '"').removesuffix("\\n")


def _text(node: ast.AST) -> str:
    """Return the text of an expression, with VARIES for what is known at run time only."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_text, parts))
    return VARIES


def _of_sources() -> dict[str, set[int]]:
    """Return every text in the sources, with the exit codes of the errors that Python raises with it."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in (PROJECT / "daemon/aio_tuned").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Constant() | ast.JoinedStr():
                    found[_as_listed(_text(node))] |= set()
                case ast.Call(func=ast.Name(id=name), args=[message, *others]) if hasattr(
                    getattr(errors, name, None), "exit_code"
                ):
                    given = [Exit[each.attr] for each in others if isinstance(each, ast.Attribute)]
                    found[_as_listed(_text(message))].add(given[0] if given else getattr(errors, name).exit_code)
    for path in (PROJECT / "native/src").rglob("*.c"):
        for adjacent in re.finditer(rf"(?:(?:{_C_LITERAL})\s*)+", path.read_text(encoding="utf-8")):
            found[_as_listed("".join(map("".join, re.findall(_C_LITERAL, adjacent[0]))))] |= set()
    return found


OF_SOURCES = _of_sources()


def _listed() -> Iterator[tuple[str, set[int], list[str]]]:
    """Yield each message of the page, its exit codes, and which texts it is: the path before one is added elsewhere."""
    for line in "".join(_BLOCK.findall(PAGE.read_text(encoding="utf-8"))).splitlines():
        codes, _, text = line.partition(" ")
        forms = {text.strip(), text.strip().removeprefix(f"{VARIES}: ")}
        yield text, {int(code) for code in re.findall(r"\d+", codes)}, [each for each in forms if each in OF_SOURCES]


def test_every_message_occurs_in_the_sources() -> None:
    unknown = [text for text, _, found in _listed() if not found]
    assert not unknown, "correct these in docs/reference/messages.md, or remove them:\n" + "\n".join(unknown)


def test_every_error_has_its_exit_code() -> None:
    for text, given, found in _listed():
        raised = set().union(*(OF_SOURCES[each] for each in found))
        assert given <= (raised or given), f"{text}: the exit code is one of {sorted(raised)}"


def test_every_exit_code_is_explained() -> None:
    assert set().union(*(codes for _, codes, _ in _listed())) == set(Exit) - {Exit.OK}


def test_every_link_to_a_section_has_its_section() -> None:
    headings = re.findall(r"^#+ (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    documents = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    links = {link for path in documents for link in re.findall(r"messages\.md#([\w-]+)", path.read_text("utf-8"))}
    links |= set(re.findall(r"\(#([\w-]+)\)", PAGE.read_text(encoding="utf-8")))
    assert links
    assert links <= anchors
