r"""An editor of environment files (of systemd, docker, shells) that leaves all other lines unchanged.

Each line must be blank, a comment, or NAME=VALUE with a value that ends on that line for all of these readers, so that
no other format is taken for an environment file, and no value is written inside another one. If a name occurs more than
once, the last one is changed, because systemd, docker and shells use that one.

The readers differ as follows: only shells take " # x" for a comment and x$(y) for a command; docker knows neither
quotes nor backslashes; in single quotes \' ends the value for shells, but not for docker compose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from aio_tuned.consumers.merge.document import newline
from aio_tuned.consumers.rendering import env_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_tuned.consumers.export import Value
    from aio_tuned.consumers.merge.document import Path

_COMMENT = re.compile(r"[ \t]*(?:[#;].*)?", re.DOTALL)
_ASSIGNMENT = re.compile(r"[ \t]*(export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=")
_NOT_IN_A_LINE = re.compile(r"[\0\r]")  # systemd takes a carriage return for a line end
_ESCAPED = re.compile(r"(?:[^\\]|\\.)*", re.DOTALL)  # no match for a text that ends in an unescaped backslash

_SUBSTITUTED = r"""\$\([^()'"`\\#<]*\) | `[^'"`\\#<]*` | \$\{[^{}()'"`\\<]*\}"""
# After these a shell reads on until a word that may be on any other line.
_COMPOUND = r"[;&|]+[ \t]*(?:(?:if|then|else|elif|do|case|while|until|for|select|function|time|coproc)\b|[{(!]|\[\[)"
_VALUE = re.compile(
    rf"""(?:
        ' (?: [^'\\] | \\(?!') )* '
      | " (?: [^"\\`$] | \\. | \$(?![({{]) | {_SUBSTITUTED} )* "
      | \\. | {_SUBSTITUTED} | \$(?![({{'"])
      | \( [^()'"`\\#<]+ \)
      | <(?!<)
      | (?!{_COMPOUND}) (?: ; | [&|]+ (?![&|]|[ \t]*$) )
      | (?<![ \t])\#
      | [^'"\\`$()<;&|\#]
    )* (?: (?<=[ \t])\# (?: [^\\] | \\. )* )?""",
    re.DOTALL | re.VERBOSE,
)
_ONE_WORD = re.compile(r"""(?![ \t]+[^"']*=)[ \t]*(?:"[^"$`\\]*"|'[^']*'|(?!#)[^\s;&|"'$`\\]*)[ \t]*""")


class _Assignment(NamedTuple):
    """A variable, with its value from `start` to before `end`, its line, and the text before its name."""

    lead: str
    name: str
    line: int
    start: int
    end: int


def set_value(text: str, path: Path, value: Value) -> str:
    """Return the environment file with that variable as NAME=VALUE, booleans as true and false.

    Raise UsageError if shell, systemd and docker would not read the value alike, and ValueError if the text is not an
    environment file, or if the old value is not one plain word.
    """
    line = env_line(path, value)
    name, _, word = line.partition("=")
    every = list(_assignments(text))
    found = [assignment for assignment in every if assignment.name == name]
    if not found:
        end = newline(text)
        if every and all(assignment.lead for assignment in every):  # a script that exports all variables
            line = every[-1].lead + line
        new = text + end * (bool(text) and not text.endswith("\n")) + line + end
        list(_assignments(new))  # the former last line must end before the new one
        return new
    last = found[-1]
    if not _ONE_WORD.fullmatch(text[last.start : last.end]):
        raise ValueError(f"{name}: value is not one plain word (line {last.line}); set it by hand")
    return text[: last.start] + word + text[last.end :]


def _assignments(text: str) -> Iterator[_Assignment]:
    """Yield the file's variables; raise ValueError at a line that not all readers accept in an environment file.

    Before release 254 systemd takes a line for a comment if it follows a comment that ends in a backslash.
    """
    at, swallows = 0, False
    for number, whole in enumerate(text.split("\n"), start=1):
        start, at = at, at + len(whole) + 1
        line = whole.removesuffix("\r") if at <= len(text) else whole
        if _COMMENT.fullmatch(line) and not _NOT_IN_A_LINE.search(line):
            swallows = not _ESCAPED.fullmatch(line)
            continue
        if swallows:
            raise ValueError(
                f"line {number - 1} is a comment that ends in a backslash, so that some readers take the next line for"
                " a comment too; remove that backslash"
            )
        found = _ASSIGNMENT.match(line)
        if not found or _NOT_IN_A_LINE.search(line):
            raise ValueError(
                f"line {number} is neither blank nor a comment nor NAME=VALUE; pass an environment file, or set the"
                " variables by hand"
            )
        if not _VALUE.fullmatch(line, found.end()):
            raise ValueError(
                f"line {number} has a value that shell, systemd or docker may continue on the next line; write it in"
                " closed quotes, or set the variables by hand"
            )
        yield _Assignment(found[1] or "", found[2], number, start + found.end(), start + len(line))
