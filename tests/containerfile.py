"""Reads a Containerfile, as far as docs/kubernetes/Containerfile goes; what it does not know it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

KNOWN = ("ARG", "COPY", "RUN", "WORKDIR", "ENTRYPOINT", "CMD")
PATH = Path(__file__).parents[1] / "docs/kubernetes/Containerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One FROM and what follows it: (instruction, its text) in the file's order."""

    base: str
    name: str
    instructions: tuple[tuple[str, str], ...]

    def all_of(self, word: str) -> list[str]:
        """The texts of one instruction."""
        return [text for found, text in self.instructions if found == word]

    def words_of(self, word: str) -> list[str]:
        """The words of an ENTRYPOINT or CMD in its JSON form."""
        (text,) = self.all_of(word)
        words: list[str] = json.loads(text)
        return words


def parse(text: str) -> tuple[Stage, ...]:
    """The stages; ARGs before the first FROM, with their defaults, are filled in there."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    logical = re.sub(r"\\\n\s*", "", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, logical.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            base = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], base)
            stages.append(Stage(base=base, name=name, instructions=()))
        elif word not in KNOWN:
            raise ValueError(f"{word}: not known here: {line}")
        elif stages:
            last = stages[-1]
            stages[-1] = Stage(base=last.base, name=last.name, instructions=(*last.instructions, (word, rest)))
        else:
            name, _, default = rest.partition("=")
            arguments[name] = default
    return tuple(stages)


def stages() -> tuple[Stage, Stage]:
    """What builds the package, and the image."""
    build, image = parse(PATH.read_text())
    return build, image
