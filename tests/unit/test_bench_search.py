"""The bench's own arithmetic: what is counted as regret, agreement, coverage."""

from __future__ import annotations

import statistics
from dataclasses import asdict, replace
from json import dumps, loads

import pytest

from bench import scores, trial
from bench.scores import Pick
from fakes.simulated.drive import Drive
from fakes.simulated.model import Drift
from fakes.simulated.models import NAMED
from unit.support.builders import MIB, request, setting

DEEP, DEEPER = setting(MIB, 32), setting(MIB, 64)


@pytest.fixture(scope="module")
def swept() -> trial.Trial:
    return trial.run("optane-p5800x", 1)[0]


def test_a_trial_is_the_same_again_and_survives_its_json(swept: trial.Trial) -> None:
    again, outcome = trial.run("optane-p5800x", 1)
    assert outcome is not None
    assert replace(again, cpu_s=0.0) == replace(swept, cpu_s=0.0)
    assert trial.parsed(loads(dumps(asdict(swept)))) == swept


def test_a_steady_drive_is_covered_and_its_regret_small(swept: trial.Trial) -> None:
    for found in swept.found:
        assert found.level_bytes_per_s == pytest.approx(found.fresh_bytes_per_s)
        assert 0 <= found.regret < 0.02
        assert not found.behind_cliff
    assert swept.written_bytes > trial.FILL_BYTES


def test_the_journal_explains_what_heat_does() -> None:
    model = replace(NAMED["optane-p5800x"], drift=Drift(heat_loss=0.2, heat_s=5))
    drive = Drive(model, 1)
    asked = [request(DEEP, id=number, min_ns=100_000_000) for number in range(200)]
    lost = {each.id: drive.visit(each).bytes_per_s for each in asked}
    fresh = drive.true_bytes_per_s("read", DEEP, asked[0].transfer_bytes)
    assert drive.journal[0].climate_log == 0
    assert drive.journal[199].climate_log == pytest.approx(-0.2231, abs=0.005)
    assert statistics.median(lost[number] for number in range(150, 200)) == pytest.approx(0.8 * fresh, rel=0.01)


def test_the_journal_says_which_visits_went_over_the_cliff() -> None:
    drive = Drive(NAMED["sn570"], 1)
    asked = [request(id=number, direction="write", min_transfers=16, transfer_bytes=256 * MIB) for number in range(4)]
    for each in asked:
        drive.visit(each)
    # The cache holds 12 GB, a visit writes 4.3.
    assert [drive.journal[each.id].behind_cliff for each in asked] == [False, False, True, True]


def test_a_mean_counts_every_model_alike() -> None:
    found = scores.spread({"a": [0.0] * 9, "b": [1.0]})
    assert (found.mean, found.median, found.p95, found.most) == (0.5, 0.0, 1.0, 1.0)
    assert scores.percentile(range(1, 101), 0.95) == 95


def test_choices_are_compared_by_what_they_amount_to() -> None:
    """With 32 MiB neither queue of 1 MiB blocks is ever filled, with 256 MiB they differ."""
    assert scores.same_program(Pick(DEEP, 32 * MIB, 1), Pick(DEEPER, 32 * MIB, 1))
    assert not scores.same_program(Pick(DEEP, 256 * MIB, 1), Pick(DEEPER, 256 * MIB, 1))
    assert scores.same_program(Pick(DEEP, 32 * MIB, 1), Pick(DEEPER, 256 * MIB, 1))


def test_agreement_is_between_consecutive_seeds() -> None:
    good, poor = Pick(DEEP, 256 * MIB, 1.0), Pick(DEEPER, 256 * MIB, 0.98)
    found = scores.agreement({"a": {0: good, 1: good, 2: good, 3: poor, 4: poor}, "b": {1: good, 2: poor}})
    assert (found.pairs, found.same, found.alike) == (2, 0.5, 0.5)
