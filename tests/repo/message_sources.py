"""The messages that the sources hold, found by their form: what docs/messages.md must list.

A message is text for a person that a running program puts together: a literal of a source with enough words in it.
Docstrings, help texts and the layout of reports are none. What varies is shown as "…".
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from message_page import VARIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "daemon/aio_tuned"
HELPER = PROJECT / "native/src"

# Modules and folders whose text is no message unless it is raised or logged, and why.
NO_MESSAGES = {
    "explain.py": "lays out the answer of one command",
    "history.py": "lays out the sweeps of a drive",
    "metrics.py": "explains metrics, which docs/monitoring lists",
    "node_features.py": "lays out a file for another program",
    "html": "lays out a report",
    "progress.py": "lays out how far a sweep is",
    "summary.py": "lays out a profile",
}
# Keywords of calls: text of argparse's, which --help shows; and the reasons that status and profiles carry.
_HELP = frozenset({"help", "description", "epilog", "metavar"})
_REASONS = frozenset({"reason", "skipped", "no_write"})
_LOGS = frozenset({"debug", "info", "warning", "error", "exception"})
# A raise, a log call or a reason tells a person something; any other literal does if it is a phrase.
_PHRASE_WORDS = 3
_WORD = re.compile(r"[A-Za-z]{2,}|\ba\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message, the exit codes with which a command that prints it ends ("" if it ends none), and its place."""

    text: str
    exit_code: str
    place: str


# --- Python ------------------------------------------------------------------------------------------------


def exit_codes(package: Path = PACKAGE) -> dict[str, str]:
    """The exit code of every class of errors, by its name."""
    tree = ast.parse((package / "errors.py").read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    numbers = {
        statement.targets[0].id: str(statement.value.value)
        for node in classes
        if node.name == "Exit"
        for statement in node.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Constant)
    }
    codes = {"ArgumentTypeError": numbers["USAGE"]}
    for node in classes:
        given = [
            numbers[statement.value.attr]
            for statement in node.body
            if isinstance(statement, (ast.Assign, ast.AnnAssign)) and isinstance(statement.value, ast.Attribute)
        ]
        above = [codes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in codes]
        if given or above:
            codes[node.name] = (given + above)[0]
    return codes | {f"Exit.{name}": number for name, number in numbers.items()}


def _text(node: ast.AST) -> str:
    """The text that an expression gives, with VARIES for what is known at run time only."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=pieces):
            return "".join(map(_text, pieces))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
    return VARIES


def _leaves(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions inside a literal whose values it shows."""
    match node:
        case ast.JoinedStr(values=pieces):
            yield from (piece.value for piece in pieces if isinstance(piece, ast.FormattedValue))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for side in (left, right):
                yield from _leaves(side) if isinstance(side, (ast.JoinedStr, ast.BinOp)) else (side,)


class _Finder(ast.NodeVisitor):
    """Collects the messages of one source."""

    def __init__(self, name: str, codes: Mapping[str, str], min_words: int) -> None:
        self._name = name
        self._codes = codes
        self._least_words = min_words
        self._help: set[str] = set()
        self._telling = False
        self._exit_code = ""
        self._logs = False
        self.found: list[Message] = []

    def look(self, tree: ast.AST) -> None:
        """Find the messages of a module."""
        keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in _HELP]
        self._help = {keyword.value.id for keyword in keywords if isinstance(keyword.value, ast.Name)}
        self.visit(tree)

    def _within(self, node: ast.AST, *, telling: bool = False, exit_code: str = "", logs: bool = False) -> None:
        before = self._telling, self._exit_code, self._logs
        self._telling, self._exit_code, self._logs = telling, exit_code, logs
        self.visit(node)
        self._telling, self._exit_code, self._logs = before

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # else a docstring
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not self._help.intersection(map(ast.unparse, node.targets)):
            self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and ast.unparse(node.annotation) != "TypeAlias":
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "compile":
            return
        logs = name in _LOGS
        given = [self._codes[word] for word in map(ast.unparse, node.args[1:]) if word.startswith("Exit.")]
        code = given[0] if given else self._codes.get(name, "")
        self._within(node.func)
        for argument in node.args:
            self._within(argument, telling=logs or name.endswith("Error"), exit_code=code, logs=logs)
        for keyword in node.keywords:
            if keyword.arg not in _HELP:
                self._within(keyword.value, telling=keyword.arg in _REASONS)

    def _literal(self, node: ast.expr) -> None:
        text = _text(node)
        if self._logs:
            text = _CONVERSION.sub(VARIES, text)
        if len(_WORD.findall(text)) >= (1 if self._telling else self._least_words) and (self._telling or " " in text):
            place = f"{self._name}:{node.lineno}"
            self.found.append(Message(text=_shortened(text), exit_code=self._exit_code, place=place))
        for leaf in _leaves(node):
            self._within(leaf)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self._literal(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._literal(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Add):
            self._literal(node)
        else:
            self.generic_visit(node)


def of_python(package: Path = PACKAGE, min_words: int = _PHRASE_WORDS) -> list[Message]:
    """The messages of all modules below a folder; literals that tell nobody anything count from so many words on."""
    codes = exit_codes()
    found = []
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        lays_out = not NO_MESSAGES.keys().isdisjoint(place.parts)
        finder = _Finder(place.as_posix(), codes, sys.maxsize if lays_out else min_words)
        finder.look(ast.parse(path.read_text(encoding="utf-8")))
        found += finder.found
    return found


# --- C -----------------------------------------------------------------------------------------------------

_LITERAL = r'"(?:\\.|[^"\\\n])*"'
_TOKEN = re.compile(
    rf"(?P<end>[;{{}}])|(?P<fault>\bFAULT_\w+)|(?P<tells>\b(?:fault_set|bad|unfit|stderr)\b)"
    rf"|(?P<text>{_LITERAL}(?:\s*(?:{_LITERAL}|PRI\w+))*)"
)
_CONVERSION = re.compile(r"%+[-.*0-9]*(?:PRI\w+|z?[a-z])")


def _c_text(literals: str) -> str:
    """The text of adjacent literals and PRI macros, with VARIES for each conversion."""
    pieces = re.findall(rf"{_LITERAL}|PRI\w+", literals)
    text = "".join(piece[1:-1] if piece.startswith('"') else piece for piece in pieces)
    return _CONVERSION.sub(VARIES, text).replace('\\"', '"').removesuffix("\\n")


def of_helper(sources: Path = HELPER) -> list[Message]:
    """The messages of aio-sweep; its usage text, which --help shows, is none."""
    headers = "".join(path.read_text(encoding="utf-8") for path in sources.rglob("fault.h"))
    codes = dict(re.findall(r"(FAULT_\w+) = (\d+)", headers))
    found = []
    for path in sorted(sources.rglob("*.c")):
        source = re.sub(
            r"/\*.*?\*/", lambda comment: "\n" * comment[0].count("\n"), path.read_text("utf-8"), flags=re.DOTALL
        )
        usual = dict(re.findall(r"^#define (\w+)\(fault, .*(FAULT_\w+)", source, flags=re.MULTILINE))
        source = re.sub(r"^#.*$", "", source, flags=re.MULTILINE)
        fault, tells = "", False
        for token in _TOKEN.finditer(source):
            if token["end"]:
                fault, tells = "", False
            elif token["fault"]:
                fault = token["fault"]
            elif token["tells"]:
                tells = True
                fault = usual.get(token["tells"], fault)
            else:
                text = _c_text(token["text"])
                enough = 1 if tells else _PHRASE_WORDS
                if " " in text and "\\n" not in text and len(_WORD.findall(text)) >= enough:
                    place = f"{path.name}:{source.count(chr(10), 0, token.start()) + 1}"
                    found.append(Message(text=_shortened(text), exit_code=codes.get(fault, ""), place=place))
    return found


def _shortened(text: str) -> str:
    """As the page has it: without journald's level or a joint before it, and with one sign for what varies in a row."""
    return re.sub(rf"{VARIES}{{2,}}", VARIES, re.sub(r"^(<\d>|[:;,] )", "", text.strip()))


def all_messages() -> list[Message]:
    """Every message of the daemon's package and of the helper."""
    return of_python() + of_helper()
