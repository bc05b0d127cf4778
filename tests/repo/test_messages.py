"""docs/reference/messages.md: each message is a whole one of the sources, with the exit code that is given for it."""

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
# Fewer words are a fragment, which may be found in any text.
FEWEST_WORDS = 4
_BLOCK = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_C_LITERAL = r'"((?:\\.|[^"\\\n])*)"|(PRI\w+)'
_CONVERSION = re.compile(r"%[-.*0-9]*(?:PRI\w+|z?[a-z])")


def _as_listed(text: str) -> str:
    """Return a text as the page has it, without the quotes and line ends of C."""
    return re.sub(f"{VARIES}+", VARIES, _CONVERSION.sub(VARIES, text)).replace('\\"', '"').removesuffix("\\n")


def _text(node: ast.AST) -> str:
    """Return the text of an expression, with VARIES for parts that are known at run time only."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(map(_text, parts))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
    return VARIES


def _whole(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the outermost texts below a node: none that is a part of another one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.JoinedStr, ast.BinOp)) or (
            isinstance(child, ast.Constant) and isinstance(child.value, str)
        ):
            yield child
        else:
            yield from _whole(child)


def _exit_codes(call: ast.Call) -> set[int] | None:
    """Return the exit code of an error that is made; None if the call makes no error."""
    kind = getattr(errors, call.func.id, None) if isinstance(call.func, ast.Name) else None
    if not (isinstance(kind, type) and issubclass(kind, errors.AioTunedError)):
        return None
    given = [
        Exit[each.attr]
        for each in call.args
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "Exit"
    ]
    return {given[0] if given else kind.exit_code}


def _of_sources() -> tuple[dict[str, set[int]], set[str]]:
    """Return the messages of errors with their exit codes, none for the helper's, and all whole texts."""
    raised: dict[str, set[int]] = defaultdict(set)
    whole: set[str] = set()
    for path in (PROJECT / "daemon/aio_tuned").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        whole |= {_as_listed(_text(each)) for each in _whole(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and (codes := _exit_codes(node)):
                raised[_as_listed(_text(node.args[0]))] |= codes
    for path in (PROJECT / "native/src").rglob("*.c"):
        for adjacent in re.finditer(rf"(?:(?:{_C_LITERAL})\s*)+", path.read_text(encoding="utf-8")):
            raised[_as_listed("".join(map("".join, re.findall(_C_LITERAL, adjacent[0]))))] |= set()
    return raised, whole | set(raised)


RAISED, WHOLE = _of_sources()


def _listed() -> Iterator[tuple[str, set[int], set[str]]]:
    """Yield each message of the page, its exit codes, and its forms: the path before one is added elsewhere."""
    for line in "".join(_BLOCK.findall(PAGE.read_text(encoding="utf-8"))).splitlines():
        codes, _, text = line.partition(" ")
        yield (
            text.strip(),
            {int(code) for code in re.findall(r"\d+", codes)},
            {
                text.strip(),
                text.strip().removeprefix(f"{VARIES}: "),
            },
        )


def test_every_message_is_a_whole_one_of_the_sources() -> None:
    unknown = [text for text, _, forms in _listed() if not forms & WHOLE]
    assert not unknown, "correct these in docs/reference/messages.md, or remove them:\n" + "\n".join(unknown)


def test_no_message_is_a_fragment() -> None:
    assert [text for text, _, _ in _listed() if len(text.split()) < FEWEST_WORDS] == []


def test_every_error_has_its_exit_code() -> None:
    for text, given, forms in _listed():
        raised = set().union(*(RAISED.get(each, set()) for each in forms))
        assert given <= (raised or given), f"{text}: the exit code is one of {sorted(raised)}"


def test_every_exit_code_is_explained() -> None:
    assert set().union(*(codes for _, codes, _ in _listed())) == set(Exit) - {Exit.OK, Exit.CLOSED_PIPE}
