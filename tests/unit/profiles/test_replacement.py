"""Whether a new profile replaces the one that is there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.model.profile import Skipped
from aio_tuned.profiles.replacement import why_kept
from unit.support.builders import profile, result

if TYPE_CHECKING:
    from aio_tuned.model.profile import Profile

FULL = profile(read=result(confidence="settled"), write=result(confidence="bounded"))
FULL = replace(FULL, evidence=replace(FULL.evidence, grid_points=320, io_seconds=24.0))


def with_evidence(one: Profile, **changes: object) -> Profile:
    return replace(one, evidence=replace(one.evidence, **changes))  # type: ignore[arg-type]  # any field


def test_a_sweep_of_the_same_kind_replaces_the_earlier_one() -> None:
    assert why_kept(FULL, FULL) == ""
    slower = replace(FULL, read=result(confidence="low", throughput_bytes_per_s=1))
    assert why_kept(slower, FULL) == "", "as much I/O: the drive has changed"


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        (replace(FULL, write=Skipped(skipped="asked for reads only")), "it has no write figures"),
        (replace(FULL, state="provisional"), "it is provisional, but the existing profile is measured"),
        (with_evidence(FULL, grid_points=16), "it covers 16 settings instead of 320"),
        (
            with_evidence(replace(FULL, read=result(confidence="low")), io_seconds=4.0),
            "its confidence is lower, based on 4 s of I/O instead of 24 s",
        ),
    ],
    ids=["reads only", "provisional", "cut grid", "short"],
)
def test_a_partial_or_shorter_sweep_does_not_replace_a_better_one(worse: Profile, why: str) -> None:
    assert why_kept(worse, FULL) == why
    assert why_kept(FULL, worse) == ""


def test_a_short_sweep_that_is_as_sure_replaces_it() -> None:
    assert why_kept(with_evidence(FULL, io_seconds=4.0), FULL) == ""


@pytest.mark.parametrize(
    "old",
    [
        replace(FULL, state="stale"),
        with_evidence(FULL, measured_at=None),
        replace(FULL, device=replace(FULL.device, id="eui.other")),
        replace(FULL, device=replace(FULL.device, size_bytes=1)),
        replace(FULL, fingerprint=replace(FULL.fingerprint, firmware="older")),
        replace(FULL, fingerprint=replace(FULL.fingerprint, filesystem="xfs-of-old")),
    ],
    ids=["stale", "never measured", "another drive", "another size", "another firmware", "another filesystem"],
)
def test_what_does_not_hold_any_more_is_not_better(old: Profile) -> None:
    partial = replace(FULL, state="provisional", write=Skipped(skipped="asked for reads only"))
    assert why_kept(partial, old) == ""


def test_another_kernel_is_no_other_surrounding() -> None:
    older = replace(FULL, fingerprint=replace(FULL.fingerprint, kernel="5.15"))
    assert why_kept(replace(FULL, state="provisional"), older) != ""


@pytest.mark.parametrize(("cpus", "kept"), [(64, True), (None, True), (32, False)])
def test_another_host_counts_only_if_it_is_known(cpus: int | None, kept: bool) -> None:
    older = replace(FULL, fingerprint=replace(FULL.fingerprint, cpus=cpus))
    newer = replace(FULL, state="provisional", fingerprint=replace(FULL.fingerprint, cpus=64))
    assert bool(why_kept(newer, older)) is kept
