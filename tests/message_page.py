"""docs/messages.md: what is listed there, and whether a printed text is."""

from __future__ import annotations

import errno
import os
import re
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/messages.md"
VARIES = "…"
_BLOCK = re.compile(r"^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r"(?P<codes>-|\d+(?:,\d+)*) +(?P<text>\S.*)")


def line(text: str, codes: str) -> str:
    """The page's line for a message."""
    return f"{codes:<5}  {text}"


def lines(page: str) -> list[tuple[str, str]]:
    """The page's messages, each with its exit codes ("-" for none); ValueError for a line that is none."""
    found = []
    for block in _BLOCK.findall(page):
        for each in block.splitlines():
            match = _LINE.fullmatch(each)
            if not match:
                raise ValueError(f"no line of a message: {each!r}")
            found.append((match["text"], match["codes"]))
    return found


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    texts = [text for text, _ in lines(PAGE.read_text(encoding="utf-8"))]
    # The system's own words stand after a path.
    texts += sorted({f"{VARIES}: {os.strerror(number)}" for number in errno.errorcode})
    # A message is put together from parts, which are joined by these.
    return tuple(
        re.compile(rf"(?:^|[]:;] |\(){'.*'.join(map(re.escape, text.split(VARIES)))}(?:$|[:;)])") for text in texts
    )


def listed(text: str) -> bool:
    """Whether a part of the printed text, from joint to joint, is a message of the page."""
    return any(pattern.search(text) for pattern in _patterns())


def unlisted(stderr: str) -> list[str]:
    """The lines of the command's standard error that are messages of aio-tuned, but not on the page."""
    said = [each.removeprefix("aio-tuned: ") for each in stderr.splitlines() if each.startswith("aio-tuned: ")]
    return [each for each in said if not listed(each)]
