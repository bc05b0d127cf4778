"""What the parsers of files and tables promise for any input, on mutations of right ones; bench/fuzz.py runs longer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.support.parser_targets import TARGETS, Target

EXAMPLES = 150
LONGEST_CUT = 12


@st.composite
def mutated(draw: st.DrawFn, target: Target) -> bytes:
    """Return one of the target's inputs after some edits, most of them of its own words."""
    content = draw(st.sampled_from(target.seeds))
    others = [target.words, [seed[at : at + 40] for seed in target.seeds for at in range(0, len(seed), 20)]]
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + LONGEST_CUT)))
        new = draw(st.one_of(*map(st.sampled_from, others), st.binary(max_size=4)))
        content = content[:start] + new + content[end:]
    return content


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken_whole(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_the_promises_hold(name: str) -> None:
    target = TARGETS[name]

    @settings(
        max_examples=EXAMPLES // 5 if name == "yaml" else EXAMPLES, derandomize=True, deadline=None, database=None
    )
    @given(mutated(target))
    def check(content: bytes) -> None:
        target.check(content)

    check()
