"""The man pages' sources as the tests look at them: sections, subsections, tagged items."""

from __future__ import annotations

import re

from unit.support.builders import PROJECT

FOLDER = PROJECT / "docs/man"


def page(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _parts(text: str, macro: str) -> dict[str, str]:
    """What follows each heading of that level, by the heading."""
    found = re.split(rf"^\.{macro} (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def sections(text: str) -> dict[str, str]:
    return _parts(text, "Sh")


def subsections(text: str) -> dict[str, str]:
    return _parts(text, "Ss")


def items(text: str, macro: str = "") -> list[str]:
    """The heads of the tagged items that begin with that macro, without it."""
    return re.findall(rf"^\.It {macro + ' ' if macro else ''}(.*)$", text, flags=re.MULTILINE)
