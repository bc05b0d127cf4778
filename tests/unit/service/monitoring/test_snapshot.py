from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aio_tuned.config.load import Config
from aio_tuned.model.profile import Skipped, Unmeasured
from aio_tuned.service.monitoring.snapshot import headline, status
from unit.support.builders import device, read_only_profile, result, setting
from unit.support.snapshots import SINCE, SWEEPING, known, seen, snapshot, state


def test_without_drives() -> None:
    empty = snapshot(troubles=("a",))
    assert headline(empty) == "no tunable drives found"
    told = status(empty)
    assert (told.version, told.pid, told.since, told.drives, told.troubles) == ("0.1.0", 1234, SINCE, (), ("a",))


def test_the_headline_counts_the_stages() -> None:
    drives = (seen(state=state("failed")), seen(), seen(state=state("settling")), seen())
    assert headline(snapshot(*drives)) == "1 settling, 2 published, 1 failed"


def test_the_headline_says_how_far_the_sweep_is() -> None:
    drive = seen(state=state("sweeping"), sweeping=SWEEPING)
    swept = snapshot(drive, swept=drive.device.sys_name)
    assert headline(swept) == "nvme0n1: read: 12/320 settings, 25%, at most 1:35 left; 1 sweeping"
    no_end = replace(drive, sweeping=replace(SWEEPING, left_s=0.0))
    assert headline(replace(swept, drives=(no_end,))) == "nvme0n1: read: 12/320 settings, 25%; 1 sweeping"
    paused = replace(drive, sweeping=replace(SWEEPING, paused="others use the drive"))
    assert headline(replace(swept, drives=(paused,))) == "nvme0n1: paused: others use the drive; 1 sweeping"
    assert headline(replace(swept, drives=(replace(drive, sweeping=None),))) == "1 sweeping"


def test_the_status_of_a_measured_drive() -> None:
    config = Config(profiles=Path("/etc/x"))
    (told,) = status(snapshot(seen(next_try="later"), config=config)).drives
    assert (told.name, told.node, told.model) == (device().name, "/dev/nvme0n1", device().model)
    assert (told.stage, told.reason, told.since, told.next_try) == (
        "published",
        "nothing has changed",
        SINCE,
        "later",
    )
    assert (told.published, told.profile) == ("measured", f"/etc/x/{device().name}.toml")
    assert told.confidence == "settled"
    assert (told.read_bytes_per_s, told.write_bytes_per_s) == (6_512_000_000, 6_512_000_000)
    assert (told.measured_at, told.written_today_bytes, told.sweeping) == (SINCE, 3 << 30, None)


def test_the_status_without_what_there_is_not() -> None:
    (unpublished,) = status(snapshot(seen(published=None))).drives
    assert (unpublished.published, unpublished.profile) == ("", "")
    assert unpublished.measured_at == SINCE
    (overridden,) = status(snapshot(seen(overridden=True))).drives
    assert overridden.overridden
    assert (overridden.read_bytes_per_s, overridden.write_bytes_per_s) == (0, 0)
    (reads,) = status(snapshot(seen(shown=read_only_profile()))).drives
    assert (reads.read_bytes_per_s, reads.write_bytes_per_s) == (6_512_000_000, 0)
    (unknown,) = status(snapshot(replace(seen(), shown=None, published=None))).drives
    assert (unknown.published, unknown.measured_at, unknown.read_bytes_per_s) == ("", "", 0)


@pytest.mark.parametrize(
    ("read", "write", "lowest"),
    [
        (result(confidence="bounded"), result(), "bounded"),
        (result(), result(confidence="low"), "low"),
        (result(), Skipped(skipped="x"), "settled"),
        (result(), Unmeasured(setting=setting(), overridden=("queue_depth",)), "settled"),
        (result(), result(confidence=None), ""),
        (Skipped(skipped="x"), Skipped(skipped="x"), ""),
    ],
)
def test_the_confidence_is_the_lower_one(read: object, write: object, lowest: str) -> None:
    (told,) = status(snapshot(seen(shown=known(read=read, write=write)))).drives
    assert told.confidence == lowest


def test_without_a_published_profile_there_is_no_confidence() -> None:
    (told,) = status(snapshot(seen(published=None))).drives
    assert told.confidence == ""


def test_only_a_drive_that_is_swept_says_how_far_it_is() -> None:
    (told,) = status(snapshot(seen(state=state("sweeping"), sweeping=SWEEPING))).drives
    assert told.sweeping == SWEEPING
    (over,) = status(snapshot(seen(shown=known(), sweeping=SWEEPING))).drives
    assert over.sweeping is None
