"""The format of stored samples: other builds read these files, so the keys are spelled out here."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from aio_tuned.helper import samples
from unit.support.builders import sample, setting

SAMPLE = replace(
    sample(setting(depth=16)), at_s=1_764_000_000.5, celsius=41.0, cpu_ns=7, passing_bytes=4096, neighbour_bytes=512
)
LINE = (
    '{"request":{"id":%d,"direction":"read","setting":{"block_size":%d,"queue_depth":16,"io_parallelism":%d,'
    '"overlap_events":%s,"single_submit":%s},"transfer_bytes":%d,"min_ns":%d,"min_transfers":%d,"max_bytes":%d,'
    '"drop_caches":null,"purpose":"%s"},"transfers_ns":%s,"bytes":%d,"elapsed_ns":%d,"wall_ns":%d,"latency_p50_ns":%d,'
    '"latency_p99_ns":%d,"cache_verdict":"device","cache_dropped":false,"device_read_bytes":%d,"device_write_bytes":%d,'
    '"cpu_ns":7,"passing_bytes":4096,"neighbour_bytes":512,"at_s":1764000000.5,"celsius":41.0}\n'
)


def expected() -> str:
    request, one = SAMPLE.request, SAMPLE.request.setting
    return LINE % (
        request.id, one.block_size, one.io_parallelism, str(one.overlap_events).lower(), str(one.single_submit).lower(),
        request.transfer_bytes, request.min_ns, request.min_transfers, request.max_bytes, request.purpose,
        json.dumps(list(SAMPLE.transfers_ns), separators=(",", ":")), SAMPLE.bytes, SAMPLE.elapsed_ns, SAMPLE.wall_ns,
        SAMPLE.latency_p50_ns, SAMPLE.latency_p99_ns, SAMPLE.device_read_bytes, SAMPLE.device_write_bytes,
    )  # fmt: skip


def test_a_line_has_these_keys_in_this_order() -> None:
    assert samples.to_lines([SAMPLE]) == expected()


def test_a_line_is_read_as_it_was_written() -> None:
    assert samples.from_table(json.loads(expected())) == SAMPLE


def test_the_keys_of_protocol_2_are_written_where_they_are_not_the_usual_ones() -> None:
    asked = replace(
        SAMPLE.request, engine="psync", access="random", seed=7, groups=2, memory="huge", purpose="curve", new_file=True
    )
    rare = replace(SAMPLE, request=asked, requests=2000, again=3, return_ns=14_000, groups_ns=(5, 6))
    table = json.loads(samples.to_lines([rare]))
    assert table["request"].items() >= {
        "engine": "psync", "access": "random", "seed": 7, "groups": 2, "memory": "huge", "new_file": True
    }.items()  # fmt: skip
    assert table.items() >= {"requests": 2000, "again": 3, "return_ns": 14_000, "groups_ns": [5, 6]}.items()
    assert samples.from_table(table) == rare


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("engine", "sync"), ("access", "zipf"), ("memory", "tiny"), ("seed", -1), ("groups", True), ("new_file", 1)],
)
def test_a_wrong_value_of_protocol_2_is_refused(key: str, wrong: object) -> None:
    table = json.loads(expected())
    table["request"][key] = wrong
    with pytest.raises(ValueError, match=key):
        samples.from_table(table)


@pytest.mark.parametrize("part", ["request", "setting"])
def test_a_key_that_the_format_lacks_is_refused(part: str) -> None:
    table = json.loads(expected())
    (table["request"] if part == "request" else table["request"]["setting"])["unknown"] = 1
    with pytest.raises(KeyError):
        samples.from_table(table)
