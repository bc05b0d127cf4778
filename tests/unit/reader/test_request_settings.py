from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned import reader
from aio_tuned.errors import LatencyError, NoCurveError, NoProfileError, TargetError
from aio_tuned.model.size_curve import SizeCurve, SizePoint
from aio_tuned.reader import RequestSettings, Source
from aio_tuned.reader.requests import pick, request_settings
from aio_tuned.reader.types import Disk, FoundProfile
from unit.support.builders import consumer_profile
from unit.support.builders import profile as builders_profile
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.profile import Profile
    from aio_tuned.model.size_curve import CurveOp

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
    for bound, in_flight in ((1000.0, 8), (2000.0, 16), (8999.0, 16), (9000.0, 32), (1e9, 32)):
        within = pick([READS], 256 * KIB, "read", "psync", max_p99_us=bound)
        assert within is not None
        assert within.in_flight == in_flight


def test_an_unknown_p99_is_within_no_bound() -> None:
    found = pick([READS], MIB, "read", "psync", max_p99_us=1e9)
    assert found is not None
    assert found.in_flight == 2


def test_a_bound_that_nothing_meets_is_refused_with_the_lowest_p99() -> None:
    with pytest.raises(
        LatencyError, match=r"no p99 within 900 µs was measured; the lowest is 1.00 ms with 8 in"
    ) as why:
        pick([READS], 256 * KIB, "read", "psync", max_p99_us=900.0)
    assert (why.value.lowest_us, why.value.in_flight) == (1000.0, 8)
    assert isinstance(why.value, NoProfileError)
    unknown = READS.points[-1]
    with pytest.raises(LatencyError, match="no p99 was measured") as why:
        pick([SizeCurve(engine="psync", op="read", points=(unknown,))], MIB, "read", "psync", max_p99_us=900.0)
    assert (why.value.lowest_us, why.value.in_flight) == (None, None)


def test_between_two_sizes_both_must_be_within_the_bound() -> None:
    """A figure between a point within the bound and one beyond it would be no measurement's."""
    found = pick([READS], 512 * KIB, "read", "psync", max_p99_us=1000.0)
    assert found is not None
    assert found.p99_us == pytest.approx((1000.0 * 700.0) ** 0.5)
    assert found.in_flight == 4
    with pytest.raises(LatencyError, match="requests of 256 KiB: no p99 within 800 µs"):
        pick([READS], 512 * KIB, "read", "psync", max_p99_us=800.0)


# --- from a profile --------------------------------------------------------------------------------------

DISK = Disk(id="wwid", name="disk", model="", serial="", size_bytes=0, node="/dev/nvme0n1", number="259:0")
PATH = Path("/etc/aio-tuned/disk.toml")


def of(profile: Profile, size: int = MIB, engine: Engine = "psync", op: CurveOp = "read", note: str = "") -> Any:  # noqa: ANN401 - its fields are compared
    return request_settings(FoundProfile(DISK, PATH, profile, note), size, op, engine, None)


def test_the_settings_of_a_profile_say_where_they_come_from() -> None:
    found = of(consumer_profile())
    assert found == RequestSettings(
        request_bytes=MIB,
        in_flight=2,
        throughput_bytes_per_s=6_200_000_000,
        p50_us=338.3,
        p99_us=507.5,
        engine="psync",
        direction="read",
        interpolated=False,
        source=Source("measured", str(PATH), consumer_profile().device.name, "curve_psync_read", ""),
    )
    stale = of(consumer_profile(state="stale"), 384 * KIB, note="the size has changed")
    assert stale.interpolated
    assert stale.source.state == "stale"
    assert stale.source.note == "the size has changed; interpolated between 256 KiB and 1 MiB"
    assert of(consumer_profile(), op="mixed").source.section == "curve_psync_mixed"


@pytest.mark.parametrize("size", [512, 2048, 4095, (16 << 20) + 1, 64 << 20])
def test_outside_of_the_measured_sizes_nothing_is_known(size: int) -> None:
    with pytest.raises(NoCurveError, match=r"were not measured for psync read; give 4K to 16M"):
        of(consumer_profile(), size)


def test_a_curve_that_is_missing_is_named_with_those_that_are_there() -> None:
    has = "the profile has io_uring read, io_uring write, psync read, psync write, psync mixed"
    with pytest.raises(NoCurveError, match=rf"no curve of request sizes for libaio write; {has}"):
        of(consumer_profile(), engine="libaio", op="write")
    with pytest.raises(
        NoCurveError, match=r"no curves of request sizes; to measure them, run aio-tuned tune /dev/nvme0n1"
    ):
        of(builders_profile())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"direction": "combined"}, "direction 'combined' is not one of read, write, mixed"),
        ({"engine": "aio"}, "engine 'aio' is not one of libaio, io_uring, psync"),
        ({"request_bytes": 0}, "must be more than 0"),
        ({"max_p99_us": 0.0}, "must be more than 0"),
    ],
)
def test_wrong_arguments_are_the_programmers(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        reader.requests_for(tmp_path, **({"request_bytes": MIB} | wrong), profiles=tmp_path)


def test_a_path_without_a_profile_has_no_requests(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="No such file"):
        reader.requests_for(tmp_path / "none", MIB, profiles=tmp_path)
