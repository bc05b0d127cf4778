"""An editor of environment files (of systemd, docker, shells) that leaves all other lines as they are.

Where a name occurs more than once, systemd, docker and shells take the last one, so that one is changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aio_tuned.consumers.merge.document import newline, place
from aio_tuned.consumers.rendering import env_line

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Value
    from aio_tuned.consumers.merge.document import Path

_OPEN_QUOTE = re.compile(r"""[ \t]*(?:"[^"]*|'[^']*)""")
_ONE_WORD = re.compile(r"""[ \t]*(?:"[^"$`\\]*"|'[^']*'|[^\s;&|"'$`\\#]*)[ \t]*""")


def set_value(text: str, path: Path, value: Value) -> str:
    """Return the environment file with that variable as NAME=VALUE, booleans as true and false.

    Raise UsageError if shell, systemd and docker would not read the value alike, and ValueError if the old value is not
    one plain word on one line.
    """
    line = env_line(path, value)
    name, _, word = line.partition("=")
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
    line_end = newline(text)
    return text + line_end * (bool(text) and not text.endswith("\n")) + line + line_end


def _in_quotes(text: str) -> bool:
    """Return whether a quote is open at the end of these lines."""
    quote = ""
    for line in text.splitlines():
        if quote or not line.lstrip().startswith(("#", ";")):
            for character in line:
                if quote in ("", character) and character in "\"'":
                    quote = "" if quote else character
    return bool(quote)
