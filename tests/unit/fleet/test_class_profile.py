"""A class result as one more sibling: borrowed as provisional, and checked on each drive before it is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.devices import identity
from aio_tuned.errors import FleetDataError
from aio_tuned.fleet.class_profile import Provenance, check_usable, class_profile, provenance
from aio_tuned.fleet.consensus import ClassCombined, ClassDirection, ClassResult, Contributor
from aio_tuned.fleet.report import Rate, Share
from aio_tuned.fleet.wire import LAST_S, MOST_BYTES, MOST_LATENCY_US
from aio_tuned.model.profile import CombinedResult, Result, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles import codec, decision
from aio_tuned.profiles.kept_settings import KeptSettings
from aio_tuned.profiles.siblings import check_agrees, check_settings, check_shares, is_sibling
from unit.support.builders import device, profile, result, scratch_target, setting
from unit.support.fleet import CLASS, NOW_S, POINTS, class_result, rate_of

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.target import Target

RELEASE = "6.8.0-45-generic"
DRIVE = device()
NOW = identity.fingerprint(DRIVE, "ext4", RELEASE)


def both(**changes: Any) -> ClassResult:  # noqa: ANN401 - any field
    """Return a result of both directions."""
    read = class_result().read
    assert read
    write = replace(read, setting=POINTS[4], rate=rate_of(3e9), default_bytes_per_s=2_000_000_000)
    return class_result(7, **{"write": write, **changes})


def judged(sibling: Profile, target: Target | None = scratch_target(), **policy: Any) -> decision.Decision:  # noqa: ANN401, B008 - frozen
    now = identity.fingerprint(DRIVE, target.filesystem if target else "", RELEASE)
    rules = {"siblings": "check", "kernel_change": "minor", "made_by": "0.2.0", **policy}
    return decision.decide(DRIVE, now, RELEASE, target, None, (sibling,), **rules)


def measured(part: Result) -> Profile:
    """Return the profile of a check on the drive whose reads gave this."""
    return replace(profile(), read=part, write=Skipped(skipped="not checked"))


def test_a_drive_of_the_class_checks_its_settings_and_has_them_until_then() -> None:
    sibling = class_profile(both(), DRIVE, NOW)
    found = judged(sibling)
    assert (found.sweep, found.against) == ("check", sibling)
    assert found.publish.state == "provisional"
    assert found.publish.read == Unmeasured(setting=POINTS[0])
    assert found.publish.write == Unmeasured(setting=POINTS[4])
    assert found.publish.combined == Unmeasured(setting=POINTS[0])
    assert f"checking the settings of class {CLASS} generation 7" in found.reason
    assert f"these are the settings of class {CLASS} generation 7" in found.publish.evidence.findings[0]
    assert codec.parse(codec.render(found.publish)) == found.publish


def test_a_drive_that_may_not_be_written_checks_a_class_without_writes() -> None:
    read_only = class_profile(class_result(), DRIVE, NOW)
    assert judged(read_only).sweep == "full"
    assert judged(read_only, scratch_target(no_write="asked for reads only")).sweep == "check"


@pytest.mark.parametrize(
    "other", [{"model": "X"}, {"firmware": "X"}, {"transport": "tcp"}, {"metadata_bytes": 8}, {"members": ("sda",)}]
)
def test_a_drive_of_another_kind_is_no_sibling(other: dict[str, Any]) -> None:
    sibling = class_profile(both(), DRIVE, NOW)
    assert is_sibling(DRIVE, sibling, None)
    assert not is_sibling(replace(DRIVE, **other), sibling, None)


def test_other_circumstances_are_swept_in_full() -> None:
    sibling = class_profile(both(), DRIVE, replace(NOW, scheduler="bfq"))
    assert judged(sibling).sweep == "full"


def test_a_check_measures_the_setting_its_challengers_and_the_default() -> None:
    sibling = class_profile(both(), DRIVE, NOW)
    assert check_settings(sibling)["read"] == (POINTS[0], POINTS[5], DEFAULT_SETTING)
    assert check_shares(sibling)["read"] == {DEFAULT_SETTING: pytest.approx(0.5), POINTS[5]: 0.95}


def test_a_check_with_the_throughput_of_the_class_agrees() -> None:
    sibling = class_profile(class_result(), DRIVE, NOW)
    here = result(setting=POINTS[0], throughput_bytes_per_s=5_900_000_000)
    agreeing = replace(here, throughput_ci95_bytes_per_s=(5_850_000_000, 5_950_000_000))
    assert check_agrees(sibling, measured(agreeing), {}) == ""
    assert check_agrees(sibling, measured(replace(agreeing, setting=DEFAULT_SETTING)), {}) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"setting": POINTS[3]}, f"read: the best setting on this drive is not that of class {CLASS} generation 1"),
        ({"throughput_ci95_bytes_per_s": (4_000_000_000, 4_100_000_000)}, "on this drive, but 6.00 GB/s on class"),
        ({"throughput_ci95_bytes_per_s": (7_900_000_000, 8_100_000_000)}, "on this drive, but 6.00 GB/s on class"),
    ],
)
def test_a_check_that_differs_from_the_class_does_not(changes: dict[str, Any], why: str) -> None:
    sibling = class_profile(class_result(), DRIVE, NOW)
    here = result(**{"setting": POINTS[0], "throughput_bytes_per_s": 6_000_000_000, **changes})
    assert why in check_agrees(sibling, measured(here), {})


def test_the_profile_has_what_the_class_has() -> None:
    made = class_profile(both(), DRIVE, NOW)
    assert made.state == "measured"
    assert made.device.id != DRIVE.id
    assert made.device.serial == ""
    assert made.fingerprint == NOW
    evidence = made.evidence
    assert evidence.measured_at == "2027-01-15T08:00:00+00:00"
    assert decision.measured_when(made).timestamp() == NOW_S
    assert evidence.points_planned == evidence.points_measured == 2 * len(POINTS)
    assert evidence.checked_against is None
    assert isinstance(made.read, Result)
    assert made.read.throughput_ci95_bytes_per_s == (5_970_000_000, 6_030_000_000)
    assert made.read.challenger_shares() == ((POINTS[5], 0.95),)
    assert isinstance(made.combined, CombinedResult)
    assert (made.combined.read_throughput_bytes_per_s, made.combined.write_share) == (5_940_000_000, 0.98)


@pytest.mark.parametrize(
    ("share", "regret", "confidence"), [(10_000, 0.0, "bounded"), (9_900, 1.0, "bounded"), (8_000, 20.0, "low")]
)
def test_the_confidence_is_no_better_than_what_the_least_drive_supports(
    share: int, regret: float, confidence: str
) -> None:
    part = class_result().read
    assert part
    made = class_profile(class_result(read=replace(part, share=share)), DRIVE, NOW)
    assert isinstance(made.read, Result)
    assert made.read.regret95_percent == pytest.approx(regret)
    assert made.read.confidence == confidence
    assert KeptSettings(checked=made).origin("read", POINTS[0]) == f"class {CLASS} generation 1"


# --- provenance -------------------------------------------------------------------------------------------


def test_the_provenance_names_class_generation_and_16_contributors() -> None:
    many = both(contributors=tuple(Contributor(f"n{number}", "nvme-X_1") for number in range(20)))
    found = provenance(many)
    assert found == Provenance(CLASS, 7, tuple(f"n{number}/nvme-X_1" for number in range(16)))
    evidence = class_profile(many, DRIVE, NOW).evidence
    assert found == (evidence.fleet_class, evidence.fleet_generation, evidence.fleet_contributors)


# --- what is not for drives to take -----------------------------------------------------------------------

_PART = class_result().read
assert _PART


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (class_result(disagreement="only 2 of 3 sweeps agree"), "its sweeps disagree: only 2 of 3 sweeps agree"),
        (class_result(1, setting(depth=7)), "queue_depth"),
        (class_result(combined=ClassCombined(setting=setting(block=512), read_share=1, write_share=1)), "block_size"),
        (class_result(read=replace(_PART, challengers=(Share(setting(threads=2, depth=4), 9000),))), "io_parallelism"),
        (class_result(write=replace(_PART, setting=setting(depth=4, single=True))), "single_submit"),
    ],
)
def test_a_result_that_is_not_for_drives_to_take_is_refused(found: ClassResult, why: str) -> None:
    with pytest.raises(FleetDataError) as refused:
        check_usable(found)
    assert str(refused.value).startswith(f"class {CLASS} generation 1: ")
    assert why in str(refused.value)


def test_the_default_is_of_every_grid() -> None:
    check_usable(class_result(1, DEFAULT_SETTING))


# --- whatever a class may have ----------------------------------------------------------------------------

_SETTINGS = st.sampled_from(POINTS)
_SHARES = st.integers(1, 10_000)


@st.composite
def _directions(draw: st.DrawFn) -> ClassDirection:
    low, middle, high = sorted(draw(st.integers(1, MOST_BYTES)) for _ in range(3))
    return ClassDirection(
        setting=draw(_SETTINGS),
        rate=Rate(middle, low, high),
        default_bytes_per_s=draw(st.integers(1, MOST_BYTES)),
        latency_p99_us=draw(st.floats(0, MOST_LATENCY_US)),
        transfer_bytes=draw(st.integers(1, MOST_BYTES)),
        share=draw(_SHARES),
        challengers=tuple(draw(st.lists(st.builds(Share, _SETTINGS, st.integers(1, 20_000)), max_size=3))),
    )


_RESULTS = st.builds(
    class_result,
    st.integers(1, 1 << 31),
    read=_directions(),
    write=st.none() | _directions(),
    combined=st.none() | st.builds(ClassCombined, setting=_SETTINGS, read_share=_SHARES, write_share=_SHARES),
    made_at_s=st.integers(0, LAST_S),
)


@given(_RESULTS)
def test_any_result_is_a_profile_that_reads_back_and_is_checked(found: ClassResult) -> None:
    made = class_profile(ClassResult.from_json(found.to_json()), DRIVE, NOW)
    assert codec.parse(codec.render(made)) == made
    assert judged(made, scratch_target(no_write="asked for reads only")).sweep == "check"
