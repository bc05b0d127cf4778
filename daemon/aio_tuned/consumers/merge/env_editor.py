"""Sets values in texts that are read line by line: environment files (systemd, docker) and fio's job files. Pure.

Where a name stands more than once, the last one is the one that counts with all of them, and the one that is changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aio_tuned.consumers.merge.document import newline, place, shown
from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Value
    from aio_tuned.consumers.merge.document import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[\w./:,@%+=-]*")
_OPEN_QUOTE = re.compile(r"""[ \t]*(?:"[^"]*|'[^']*)""")
_ONE_WORD = re.compile(r"""[ \t]*(?:"[^"$`\\]*"|'[^']*'|[^\s;&|"'$`\\#]*)[ \t]*""")
_SECTION = re.compile(r"^[ \t]*\[([^\]\r\n]*)\][^\r\n]*", re.MULTILINE)
_OPTION = re.compile(r"^([ \t]*)[^\s#;][^\r\n]*", re.MULTILINE)


def set_env(text: str, path: Path, value: Value) -> str:
    """The environment file with that variable: NAME=VALUE, booleans as true and false.

    UsageError if shell, systemd and docker would not read the value alike; ValueError if it cannot be told where the
    variable's line ends.
    """
    (name,) = path
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not _PLAIN.fullmatch(word):
        raise UsageError(
            f"{shown(path)}={word}: an environment file can hold this only in quotes, which shell, systemd and docker"
            " read differently: choose a path of letters, digits and ./:,@%+=-_"
        )
    found = [*re.finditer(rf"^([ \t]*(?:export[ \t]+)?{name}[ \t]*=)([^\r\n]*)", text, re.MULTILINE)]
    start, end = found[-1].span(2) if found else (len(text), len(text))
    line_start = found[-1].start() if found else len(text.rstrip("\r\n")) + 1
    old = text[start:end]
    continued = text[: line_start - 1].rstrip("\r").endswith("\\") or old.endswith("\\")
    if continued or _OPEN_QUOTE.fullmatch(old) or _in_quotes(text[: max(0, line_start - 1)]):
        raise ValueError(f"{name} would be in a value of several lines{place(text, start)}: write that on one line")
    if found:
        if not _ONE_WORD.fullmatch(old):
            raise ValueError(f"{name} has more than one plain word after it{place(text, start)}: set it by hand")
        return text[:start] + word + text[end:]
    return _append(text, f"{name}={word}")


def _in_quotes(text: str) -> bool:
    """Whether a quote is open at the end of these lines."""
    quote = ""
    for line in text.splitlines():
        if quote or not line.lstrip().startswith(("#", ";")):
            for character in line:
                if quote in ("", character) and character in "\"'":
                    quote = "" if quote else character
    return bool(quote)


def set_fio(text: str, path: Path, value: Value) -> str:
    """The job file with that option in that section: true is the option's name alone, false is 0.

    UsageError if the value cannot stand in a job file; ValueError if the section is there more than once.
    """
    section, option = map(str, path)
    word = option if value is True else f"{option}={int(value) if isinstance(value, bool) else value}"
    if re.search(r"[\r\n#;]|\s$|=\s", word):
        raise UsageError(f"{word}: a fio job file cannot hold line ends, # and ; in a value, nor blanks around it")
    headers = [*_SECTION.finditer(text)]
    named = [i for i, header in enumerate(headers) if header[1] == section]
    if not named:
        head = _append(text, "") if text.strip() else text
        return _append(head, f"[{section}]") + word + newline(text)
    if len(named) > 1:
        where = place(text, headers[named[-1]].start())
        raise ValueError(f"[{section}] is there {len(named)} times{where}: leave one of them, or rename the others")
    header = headers[named[0]]
    end = headers[named[0] + 1].start() if named[0] + 1 < len(headers) else len(text)
    given = re.compile(rf"^[ \t]*({re.escape(option)}(?:[ \t]*=[^\r\n#;]*?)?)(?=[ \t]*(?:[\r\n#;]|\Z))", re.MULTILINE)
    found = [*given.finditer(text, header.end(), end)]
    if found:
        return text[: found[-1].start(1)] + word + text[found[-1].end(1) :]
    options = [*_OPTION.finditer(text, header.end(), end)]
    at, indent = (options[-1].end(), options[-1][1]) if options else (header.end(), "")
    return text[:at] + newline(text) + indent + word + text[at:]


def _append(text: str, line: str) -> str:
    end = newline(text)
    return text + end * (bool(text) and not text.endswith("\n")) + line + end
