"""A parser of Containerfiles that accepts the subset of docs/kubernetes/Containerfile and refuses all else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

KNOWN = ("ARG", "COPY", "RUN", "WORKDIR", "ENTRYPOINT", "CMD")
PATH = Path(__file__).parents[1] / "docs/kubernetes/Containerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A build stage: its FROM and the following instructions with their texts, in the file's order."""

    base: str
    name: str
    instructions: tuple[tuple[str, str], ...]

    def all_of(self, word: str) -> list[str]:
        """Return the texts of an instruction."""
        return [text for found, text in self.instructions if found == word]

    def words_of(self, word: str) -> list[str]:
        """Return the words of an ENTRYPOINT or CMD in JSON form."""
        (text,) = self.all_of(word)
        words: list[str] = json.loads(text)
        return words


def parse(text: str) -> tuple[Stage, ...]:
    """Return the stages, with the defaults of ARGs before the first FROM filled in."""
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
    """Return the stage that builds the package, and that of the image."""
    build, image = parse(PATH.read_text())
    return build, image
