"""What the journal's records carry, the ids that are for good, and that every id is explained."""

from __future__ import annotations

import re

import pytest

from aio_tuned.journald.events import EventId, fields, figures
from aio_tuned.service.state_machine import SweepRequest
from unit.support.builders import PROJECT, device, profile, read_only_profile

CATALOG = PROJECT / "systemd/aio-tuned.catalog"
PAGE = PROJECT / "docs/reference/journal.md"
WANT = SweepRequest(sweep="full", profiled=False, mounted=False, reason="new")


def test_the_ids_are_128_bits_and_each_its_own() -> None:
    assert all(re.fullmatch("[0-9a-f]{32}", each.value) for each in EventId)
    assert len({each.value for each in EventId}) == len(EventId)


def test_the_ids_never_change() -> None:
    """Filters and alerts of others rely on them: to change one here is to break these."""
    known = {each.name: each.value[:8] for each in EventId}
    assert known == {
        "DRIVE_APPEARED": "9033f7e6",
        "DRIVE_GONE": "334b3f95",
        "SWEEP_STARTED": "549ef364",
        "SWEEP_FINISHED": "4b11e242",
        "SWEEP_SKIPPED": "200fe33d",
        "SWEEP_FAILED": "02a835c1",
        "SWEEP_PAUSED": "7814db38",
        "SWEEP_RESUMED": "d863f10b",
        "SWEEP_DEFERRED": "2ddb518f",
        "SWEEP_STOPPED": "57618b60",
        "PROFILE_PUBLISHED": "5c5fe693",
        "PROFILE_WITHDRAWN": "3e178152",
    }


def entries() -> dict[str, str]:
    """Subject and explanation of each id in the catalog."""
    _, *texts = re.split(r"^-- (\w+)\n", CATALOG.read_text(), flags=re.MULTILINE)
    return dict(zip(texts[::2], texts[1::2], strict=True))


def test_the_catalog_explains_every_id() -> None:
    assert re.findall(r"^-- (\w+)$", CATALOG.read_text(), re.MULTILINE) == [each.value for each in EventId]
    for text in entries().values():
        assert re.fullmatch(r"Subject: .+\nDefined-By: aio-tuned\n\n.+\n", text, re.DOTALL)


def test_the_page_lists_every_id() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| `(\w{32})` \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [(each.name.lower().replace("_", "-"), each.value) for each in EventId]


@pytest.mark.parametrize("event_id", EventId, ids=lambda each: each.name)
def test_the_catalog_fills_in_only_what_such_a_record_has(event_id: EventId) -> None:
    (row,) = (line for line in PAGE.read_text().splitlines() if event_id.value in line)
    of_all = {"DEVICE"} if event_id.name.startswith("PROFILE") else {"DEVICE", "NODE"}
    further = {name.strip() for name in row.split("|")[4].split(",")} - {""}
    used = set(re.findall("@(.+?)@", entries()[event_id.value]))
    assert {name.removeprefix("AIO_TUNED_") for name in used} <= of_all | further


def test_every_field_is_on_the_page() -> None:
    explained = set(re.findall(r"`AIO_TUNED_(\w+)`", PAGE.read_text().partition("## Fields")[2]))
    rows = [line.split("|")[4] for line in PAGE.read_text().splitlines() if re.search(r"`\w{32}`", line)]
    further = {name.strip() for row in rows for name in row.split(",")} - {""}
    assert explained == further | {"DEVICE", "NODE", "EVENT"}


def test_fields() -> None:
    drive = device()
    assert fields(EventId.SWEEP_PAUSED, drive.name, drive.node, reason="hot", retry_s=None, where="") == {
        "MESSAGE_ID": "7814db38c6df4fc3871d7fc32a3c4c5b",
        "AIO_TUNED_EVENT": "sweep-paused",
        "AIO_TUNED_DEVICE": drive.name,
        "AIO_TUNED_NODE": str(drive.node),
        "AIO_TUNED_REASON": "hot",
    }
    assert fields(None, "x", points=0) == {"AIO_TUNED_DEVICE": "x", "AIO_TUNED_POINTS": "0"}


def test_figures_are_those_of_what_was_measured() -> None:
    both = profile()
    assert figures(both) == {
        "read_bytes_per_s": both.read.throughput_bytes_per_s,  # type: ignore[union-attr]
        "write_bytes_per_s": both.write.throughput_bytes_per_s,  # type: ignore[union-attr]
        "points": both.evidence.points_measured,
        "seconds": pytest.approx(both.evidence.seconds, abs=0.001),
        "written_bytes": both.evidence.bytes_written,
    }
    assert figures(read_only_profile())["write_bytes_per_s"] is None
