"""Which sweeps have a vote: those of the class, and not those of drives that are swept because they are unlike it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.fleet import votes
from aio_tuned.fleet.agreement import agree
from unit.support.fleet import NOW_S, direction_report, sweep_report

if TYPE_CHECKING:
    from aio_tuned.fleet.report import DriveReport

_CLASS, _SLOW = 6e9, 3.6e9


def _sweep(node: str, speed: float) -> DriveReport:
    return sweep_report(node, direction_report(speed))


def _check(node: str, speed: float, generation: int = 1, *, confirms: bool = True) -> DriveReport:
    part = replace(direction_report(speed), best=())
    return sweep_report(node, part, basis="check", generation=generation, confirms=confirms)


def _first(count: int, speed: float = _CLASS) -> list[DriveReport]:
    return [_sweep(f"first-{number}", speed) for number in range(count)]


def _unlike(count: int, speed: float, generation: int = 1) -> list[DriveReport]:
    """Drives that do not confirm their class, and are then swept for themselves."""
    names = [f"unlike-{number}" for number in range(count)]
    checks = [_check(name, speed, generation, confirms=False) for name in names]
    return [*checks, *(_sweep(name, speed) for name in names)]


def _alike(count: int, generation: int = 1) -> list[DriveReport]:
    return [_check(f"alike-{number}", _CLASS, generation) for number in range(count)]


def test_the_slow_drives_of_a_class_do_not_outvote_it() -> None:
    """Of a class of 200 drives, three are swept for the class, and twice as many because they are slow."""
    found = votes.count([*_first(3), *_unlike(6, _SLOW), *_alike(191)], NOW_S)
    assert {each.node for each in found.sweeps} == {"first-0", "first-1", "first-2"}
    result = agree(found, None, NOW_S)
    assert result
    assert result.read
    assert (result.read.rate.bytes_per_s, result.rejected, found.disagreement) == (_CLASS, (), "")


def test_drives_that_most_others_are_like_do_outvote_the_first_sweeps() -> None:
    """The first three drives were the slow ones: all others refuse what they gave."""
    found = votes.count([*_first(3, _SLOW), *_unlike(20, _CLASS), *_alike(2)], NOW_S)
    assert len(found.sweeps) == 23
    result = agree(found, None, NOW_S)
    assert result
    assert result.read
    assert result.read.rate.bytes_per_s == _CLASS


def test_a_later_generation_gives_slow_drives_no_vote_back() -> None:
    """All other drives have checked the next generation, and the slow ones are silent."""
    found = votes.count([*_first(3), *_unlike(6, _SLOW, 1), *_alike(191, 2)], NOW_S)
    assert len(found.sweeps) == 3


def test_drives_that_refuse_a_bad_generation_keep_their_votes() -> None:
    """Its first step has reached two drives, both of which were swept for the class."""
    refusing = [_check(f"first-{number}", _CLASS, 2, confirms=False) for number in range(2)]
    found = votes.count([*_first(3), *refusing, *_alike(197)], NOW_S)
    assert len(found.sweeps) == 3


def test_checks_that_prove_nothing_do_not_give_unlike_drives_a_vote() -> None:
    """The checks of blank drives never confirm a generation, and here most drives are blank."""
    blank = [replace(_check(f"blank-{number}", _CLASS, confirms=False), state="provisional") for number in range(40)]
    found = votes.count([*_first(3), *_unlike(6, _SLOW), *_alike(20), *blank], NOW_S)
    assert len(found.sweeps) == 3
    assert found.disagreement == ""


def test_a_node_with_many_drives_gives_unlike_drives_no_vote() -> None:
    """It may make drives up: a node that lies has one voice, as in all else."""
    liar = [replace(_check("liar", _CLASS, confirms=False), drive=f"nvme-made-up-{number}") for number in range(250)]
    found = votes.count([*_first(3), *_unlike(6, _SLOW), *_alike(20), *liar], NOW_S)
    assert len(found.sweeps) == 3
    praising = [replace(each, confirms=True) for each in liar]
    found = votes.count([*_first(3, _SLOW), *_unlike(20, _CLASS), *_alike(2), *praising], NOW_S)
    assert len(found.sweeps) == 23
