from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.report import sentences
from unit.support.builders import GIB, MIB, curve, result, setting, stats

if TYPE_CHECKING:
    from aio_tuned.model.profile import Result


def old(**changes: Any) -> Result:  # noqa: ANN401 - any field
    """A result as a file of schema 1 has it."""
    new = (
        *("confidence", "regret95_percent", "expected_shortfall_percent", "tolerance_percent", "challengers"),
        *("probability_within_tolerance", "versus_default_percent", "versus_default_ci95_percent", "stopped_because"),
    )
    made: Result = result(**dict.fromkeys(new), **changes)
    return made


@pytest.mark.parametrize(
    ("changes", "rivals", "says"),
    [
        ({"ties": 13}, None, "12 other settings are probably as good (within 2 % of the best)"),
        ({"ties": 2}, 5, "1 other setting is probably as good (within 2 % of the best)"),
        ({"ties": 3, "tolerance_percent": 1.5}, 0, "2 other settings are probably as good (within 1.5 % of the best)"),
        ({"ties": 1}, 0, "no other setting is as good"),
        ({"ties": 1}, 12, "the best measured setting; 12 others may be better"),
        ({"ties": 1}, 1, "the best measured setting; 1 other may be better"),
        ({"ties": 1}, None, "the best measured setting; others may be better"),
        ({"ties": 1, "regret95_percent": 0.0}, 3, "the best measured setting; 3 others may be better"),
        (
            {"ties": 4, "probability_within_tolerance": 0.49},
            0,
            "some other setting is probably more than 2 % faster, but it is not known which",
        ),
    ],
)
def test_what_is_known_of_the_others(changes: dict[str, Any], rivals: int | None, says: str) -> None:
    assert sentences.others(result(**changes, not_ruled_out=rivals)) == says


def test_how_far_below_the_best() -> None:
    assert sentences.shortfall(result(regret95_percent=1.44)) == "at most 1.4 % below the best (95 % confidence)"
    assert sentences.shortfall(result(regret95_percent=37.26)) == "at most 37 % below the best (95 % confidence)"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "10.4 % above the default setting (+9.8 to +10.9 %, 95 % confidence)"),
        (
            {"versus_default_percent": 4.24, "versus_default_ci95_percent": (-0.04, 9.96)},
            "4.2 % above the default setting (+0.0 to +10.0 %, 95 % confidence)",
        ),
        (
            {"versus_default_percent": -0.44, "versus_default_ci95_percent": (-1.2, 0.3)},
            "0.4 % below the default setting (-1.2 to +0.3 %, 95 % confidence)",
        ),
        (
            {"setting": DEFAULT_SETTING, "versus_default_percent": 0.0, "versus_default_ci95_percent": (0.0, 0.0)},
            "it is the default setting",
        ),
        ({"default_throughput_bytes_per_s": 0}, ""),
    ],
)
def test_the_gain_has_its_interval(changes: dict[str, Any], says: str) -> None:
    assert sentences.gain(result(**changes)) == says


def test_why_measuring_ended() -> None:
    assert sentences.ended(result()) == "settled, stopped because the choice is clear"
    bounded = result(confidence="bounded", stopped_because="the usual measuring time ran out")
    assert sentences.ended(bounded) == "bounded, stopped because the usual measuring time ran out"
    assert sentences.ended(result(stopped_because=None)) == "settled"


def test_from_where_it_was_kept() -> None:
    assert sentences.kept(result()) == ""
    assert sentences.kept(result(kept_from="earlier")) == "kept from the earlier sweep"
    assert sentences.kept(result(kept_from="nvme-B_1")) == "kept from nvme-B_1"


def test_what_it_gave_in_the_long_run() -> None:
    assert sentences.sustained(result()) == ""
    assert sentences.sustained(result(sustained_throughput_bytes_per_s=1_400_000_000)) == "1.40 GB/s sustained"


def test_files_of_schema_1_say_no_more_than_they_know() -> None:
    assert sentences.others(old(ties=41)) == "one of 41 equivalent settings"
    assert sentences.others(old(ties=1)) == "the best measured setting"
    assert sentences.shortfall(old()) == sentences.ended(old()) == sentences.kept(old()) == ""
    assert sentences.gain(old()) == "10.4 % above the default setting"


def test_how_points_were_measured() -> None:
    once = curve(stats(1e9, setting(depth=4), visits=1), stats(1e9, DEFAULT_SETTING, visits=23))
    assert sentences.how_measured(once) == "each measured once, in transfers of 64 MiB"
    again = curve(stats(1e9, setting(depth=4), visits=2), transfer_bytes=256 * MIB)
    assert sentences.how_measured(again) == "in transfers of 256 MiB"
    assert sentences.how_measured(curve(transfer_bytes=GIB)) == "each measured once, in transfers of 1 GiB"
