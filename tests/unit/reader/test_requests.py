from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.errors import NoProfileError
from aio_tuned.model.size_curve import SizeCurve, SizePoint
from aio_tuned.reader.requests import pick
from unit.support.size_curves import curve

KIB, MIB = 1 << 10, 1 << 20
READS = SizeCurve(
    engine="psync",
    op="read",
    points=(
        SizePoint(256 * KIB, 8, 2_000_000_000, 900.0, 1000.0, 0.5),
        SizePoint(256 * KIB, 16, 3_840_000_000, 950.0, 2000.0, 0.96),
        SizePoint(256 * KIB, 32, 4_000_000_000, 2000.0, 9000.0, 1.0),
        SizePoint(MIB, 2, 3_000_000_000, 600.0, 700.0, 0.5),
        SizePoint(MIB, 4, 6_000_000_000, 650.0, None, 1.0),
    ),
)


def test_a_measured_size_has_the_fewest_requests_that_saturate_it() -> None:
    found = pick([READS], 256 * KIB, "read", "psync")
    assert found is not None
    assert (found.in_flight, found.throughput_bytes_per_s, found.p50_us, found.p99_us) == (16, 3_840_000_000, 950, 2000)
    assert (found.engine, found.direction, found.request_bytes, found.note) == ("psync", "read", 256 * KIB, "")


def test_what_was_not_measured_is_not_there() -> None:
    assert pick([READS], MIB, "write", "psync") is None
    assert pick([READS], MIB, "read", "io_uring") is None
    assert pick([SizeCurve(engine="psync", op="read", points=())], MIB, "read", "psync") is None


def test_between_two_sizes_the_figures_are_between_and_named_as_such() -> None:
    found = pick([READS], 512 * KIB, "read", "psync")
    assert found is not None
    # The size is the geometric mean of both, so the figures are too.
    assert found.in_flight == 8
    assert found.throughput_bytes_per_s == pytest.approx(4_800_000_000, rel=1e-6)
    assert found.p50_us == pytest.approx((950 * 650) ** 0.5)
    assert found.p99_us is None  # one of them is not known
    assert found.note == "interpolated between 256 KiB and 1 MiB"


@given(st.integers(12, 24), st.integers(1, 4095))
def test_figures_between_sizes_never_leave_those_of_the_sizes(power: int, part: int) -> None:
    one = curve("psync", "read", {1 << at: 1 << max(0, 24 - at) // 2 for at in range(12, 26)})
    asked = (1 << power) * part // 4096 + (1 << power)
    low, found, high = (pick([one], size, "read", "psync") for size in (1 << power, asked, 2 << power))
    assert low
    assert found
    assert high
    assert high.in_flight <= found.in_flight <= low.in_flight


@pytest.mark.parametrize(
    ("size", "in_flight", "note"),
    [
        (4 * KIB, 16, "measured with 256 KiB, the smallest size of the curve"),
        (8 * MIB, 4, "measured with 1 MiB, the largest size of the curve"),
    ],
)
def test_outside_of_the_sizes_the_nearest_one_counts_and_is_named(size: int, in_flight: int, note: str) -> None:
    found = pick([READS], size, "read", "psync")
    assert found is not None
    assert (found.in_flight, found.request_bytes, found.note) == (in_flight, size, note)


def test_a_bound_takes_the_most_throughput_below_it() -> None:
    found = pick([READS], 256 * KIB, "read", "psync", max_p99_us=1500.0)
    assert found is not None
    assert (found.in_flight, found.p99_us) == (8, 1000.0)
    assert pick([READS], 256 * KIB, "read", "psync", max_p99_us=1e9) == pick([READS], 256 * KIB, "read", "psync")


def test_an_unknown_p99_is_within_no_bound() -> None:
    found = pick([READS], MIB, "read", "psync", max_p99_us=1e9)
    assert found is not None
    assert found.in_flight == 2


def test_a_bound_that_nothing_meets_is_refused_with_the_lowest_p99() -> None:
    with pytest.raises(NoProfileError, match=r"no p99 of 900 us or less was measured; the lowest is 1000 us"):
        pick([READS], 256 * KIB, "read", "psync", max_p99_us=900.0)
    unknown = READS.points[-1]
    with pytest.raises(NoProfileError, match="none is known"):
        pick([SizeCurve(engine="psync", op="read", points=(unknown,))], MIB, "read", "psync", max_p99_us=900.0)
