from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.requests import Usage, chunk, good_size, needed
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import drive, settings
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export
    from aio_tuned.model.measurement import Engine
    from aio_tuned.model.size_curve import CurveOp, SizeCurve
    from aio_tuned.reader import DriveSettings

KIB, MIB = 1 << 10, 1 << 20
SIZES = (64 * KIB, 256 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB)


class Number(NamedTuple):
    """A number of a consumer: its name, engine and directions, and the usual size of a request.

    It is the number of requests in flight, multiplied by the factor.
    """

    consumer: str
    key: str
    engine: Engine
    ops: tuple[CurveOp, ...]
    usual: int
    for_version: str | None = None
    factor: int = 1

    def of(self, made: Export) -> int:
        value = next(int(value) for path, value in made.values.items() if path[-1] == self.key)  # type: ignore[arg-type]  # a number
        assert value % self.factor == 0
        return value // self.factor

    def export(self, given: DriveSettings, request_bytes: int | None = None) -> Export:
        options = ExportOptions(request_bytes=request_bytes, for_version=self.for_version)
        return consumers.load(self.consumer).export(given, "/data", options)


READ: tuple[CurveOp, ...] = ("read",)
BOTH: tuple[CurveOp, ...] = ("read", "write")
NUMBERS = (
    Number("vllm", "n_read_threads", "psync", READ, 2 * MIB),
    Number("vllm", "n_write_threads", "psync", ("write",), 2 * MIB),
    Number("lmcache", "disk_io_threads", "psync", BOTH, 32 * MIB),
    Number("kvikio", "KVIKIO_NTHREADS", "psync", BOTH, 4 * MIB),
    Number("cufile", "max_io_threads", "psync", BOTH, 16 * MIB),
    Number("fastsafetensors", "max_threads", "psync", READ, 512 * KIB),
    Number("fastsafetensors", "max_threads", "psync", READ, MIB, "0.4.0"),
    Number("runai", "RUNAI_STREAMER_FS_QUEUE_DEPTH", "io_uring", READ, 8 * MIB),
    Number("runai", "RUNAI_STREAMER_CONCURRENCY", "psync", READ, 2 * MIB, "0.16.1"),
    Number("tensornvme", "n_entries", "io_uring", BOTH, 16 * MIB),
    Number("nixl", "kernel_queue_size", "io_uring", BOTH, MIB),
    Number("nixl", "kernel_queue_size", "libaio", BOTH, MIB),
    Number("sglang", "kernel_queue_size", "io_uring", BOTH, 4 * MIB),
    Number("lmcache_server", "num_workers", "psync", BOTH, 32 * MIB),
    Number("nixl_gds", "thread_count", "psync", BOTH, MIB),
    Number("dynamo", "DYN_KVBM_MAX_CONCURRENT_TRANSFERS", "io_uring", BOTH, 2 * MIB),
    Number("instanttensor", "INSTANTTENSOR_IO_DEPTH", "io_uring", READ, 8 * MIB, factor=2),
)
IDS = [f"{each.key}-{each.engine}" for each in NUMBERS]


def all_curves(**numbers: int) -> tuple[SizeCurve, ...]:
    """Return curves of every engine and direction, with the same number in flight at every size.

    Each curve has a number of its own, unless it is given as engine_op.
    """
    kinds: list[tuple[Engine, CurveOp]] = [
        ("psync", "read"),
        ("psync", "write"),
        ("io_uring", "read"),
        ("io_uring", "write"),
    ]
    return tuple(
        curve(engine, op, dict.fromkeys((*SIZES, 512 * KIB), numbers.get(f"{engine}_{op}", 17 + place)))
        for place, (engine, op) in enumerate(kinds)
    )


# --- the number of each consumer --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
def test_the_number_is_that_of_the_engine_and_the_usual_size(number: Number) -> None:
    own = tuple(
        curve(
            number.engine, op, {size: 40 if size == min(number.usual, 16 * MIB) else 20 for size in (*SIZES, 512 * KIB)}
        )
        for op in number.ops
    )
    others = tuple(
        each for each in all_curves() if (each.engine, each.op) not in {(mine.engine, mine.op) for mine in own}
    )
    made = number.export(drive(curves=(*others, *own)))
    assert number.of(made) == 40
    assert any(note.startswith(f"{number.key}: ") or f".{number.key}: " in note for note in made.notes)
    assert any(
        f"{number.engine} requests of {number.usual >> 10 if number.usual < MIB else number.usual >> 20}" in note
        for note in made.notes
    )
    assert not any("from the five parameters" in note for note in made.notes)


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
def test_a_given_size_has_the_number_of_that_size(number: Number) -> None:
    own = tuple(curve(number.engine, op, {256 * KIB: 64, 2 * MIB: 32, 4 * MIB: 24, 16 * MIB: 20}) for op in number.ops)
    made = number.export(drive(curves=own), 2 * MIB)
    assert number.of(made) == 32
    assert not any("assumed" in note for note in made.notes)
    between = number.export(drive(curves=own), 3 * MIB)
    assert 24 < number.of(between) < 32
    assert any("interpolated between 2 MiB and 4 MiB" in note for note in between.notes)


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
def test_without_curves_it_is_that_of_the_five_parameters_and_said(number: Number) -> None:
    made = number.export(drive())
    assert number.of(made) == 32
    assert any(
        "32 from the five parameters" in note and number.engine in note for note in made.notes if "curve" in note
    )
    assert not any("assumed" in note for note in made.notes)


@pytest.mark.parametrize(
    "number", [each for each in NUMBERS if each.consumer not in ("dynamo", "nixl", "sglang")], ids=str
)
def test_another_engine_is_no_answer(number: Number) -> None:
    other = tuple(each for each in all_curves() if each.engine != number.engine)
    made = number.export(drive(curves=other))
    assert number.of(made) == 32
    assert any(f"no curve of {number.engine}" in note for note in made.notes)


def test_an_asynchronous_queue_takes_io_uring_if_libaio_has_no_curve_and_says_so() -> None:
    made = consumers.load("nixl").export(drive(curves=all_curves(io_uring_read=48)), "/data", ExportOptions())
    assert made.values["POSIX", "kernel_queue_size"] == "48"
    assert any("io_uring requests of 1 MiB" in note and "no curve of libaio" in note for note in made.notes)
    psync = tuple(each for each in all_curves() if each.engine == "psync")
    made = consumers.load("nixl").export(drive(curves=psync), "/data", ExportOptions())
    assert made.values["POSIX", "kernel_queue_size"] == "32"


def test_one_number_for_both_directions_is_the_larger_one() -> None:
    for reads, writes in ((40, 12), (12, 40)):
        given = drive(curves=all_curves(psync_read=reads, psync_write=writes))
        made = consumers.load("lmcache").export(given, "/data", ExportOptions())
        assert made.values["extra_config", "disk_io_threads"] == 40
        assert any(
            f"{reads} in flight for reads" in note and f"{writes} in flight for writes" in note for note in made.notes
        )


def test_reads_alone_stand_for_both_and_that_is_said() -> None:
    given = drive(curves=all_curves(psync_read=12)[:1])
    made = consumers.load("lmcache").export(given, "/data", ExportOptions())
    assert made.values["extra_config", "disk_io_threads"] == 12
    assert any("writes were not measured with psync" in note for note in made.notes)


@pytest.mark.parametrize(("number", "noted"), [(64, False), (65, True), (256, True)])
def test_more_threads_than_most_hosts_have_processors_are_named(number: int, noted: bool) -> None:
    given = drive(curves=all_curves(psync_read=number))
    made = consumers.load("vllm").export(given, "/data", ExportOptions())
    assert any(note.startswith("n_read_threads: more than 64 threads") for note in made.notes) == noted
    deep = consumers.load("runai").export(drive(curves=all_curves(io_uring_read=256)), "/data", ExportOptions())
    assert not any("more than 64 threads" in note for note in deep.notes)  # a queue, not threads


def test_a_ring_is_worth_it_by_the_curve_of_io_uring() -> None:
    for number, said in ((1, "false"), (2, "true")):
        given = drive(curves=all_curves(io_uring_read=number, io_uring_write=number))
        made = consumers.load("mooncake").export(given, "/data", ExportOptions())
        assert made.values["MOONCAKE_OFFLOAD_USE_URING",] == said


def test_the_depth_of_lmcaches_raw_blocks_is_noted_where_it_was_measured() -> None:
    made = consumers.load("lmcache").export(drive(curves=all_curves(io_uring_write=48)), "/data", ExportOptions())
    assert any("iouring_queue_depth: io_uring requests" in note and "48 in flight" in note for note in made.notes)
    assert not any("iouring" in note for note in consumers.load("lmcache").export(drive(), "/", ExportOptions()).notes)


@pytest.mark.parametrize("name", ["deepspeed", "env", "fio", "json"])
def test_the_five_parameters_have_no_use_for_a_size_and_say_so(name: str) -> None:
    plain, sized = (
        consumers.load(name).export(drive(curves=all_curves()), "/data", ExportOptions(request_bytes=size))
        for size in (None, MIB)
    )
    assert plain.values == sized.values
    (said,) = set(sized.notes) - set(plain.notes)
    assert said.startswith("request_size: ignored")


@pytest.mark.parametrize("name", consumers.NAMES)
def test_curves_change_nothing_for_consumers_of_the_five_parameters_and_no_value_is_out_of_range(name: str) -> None:
    one = consumers.load(name).export(drive(curves=all_curves()), "/data", ExportOptions())
    other = consumers.load(name).export(drive(), "/data", ExportOptions())
    assert one.values.keys() == other.values.keys()
    assert (one.values == other.values) == (name in ("deepspeed", "env", "fio", "flexkv", "json", "mooncake"))


# --- the size of a request, where the consumer's configuration sets it ------------------------------------------

USAGE = Usage(direction="read", engines=("psync",), usual_bytes=4 * MIB, usual="the default of SIZE")


def with_rates(rates: dict[int, int], op: CurveOp = "read") -> SizeCurve:
    return curve("psync", op, dict.fromkeys(rates, 4), rates)


def test_the_usual_size_stays_if_no_other_one_gives_more() -> None:
    given = drive(curves=(with_rates({MIB: 6_200_000_000, 4 * MIB: 6_000_000_000, 16 * MIB: 6_300_000_000}),))
    assert chunk(given, USAGE, ExportOptions(), "SIZE") == (4 * MIB, ())


def test_the_nearest_size_that_gives_more_replaces_the_usual_one_and_is_noted() -> None:
    given = drive(curves=(with_rates({64 * KIB: 6_400_000_000, MIB: 6_200_000_000, 4 * MIB: 5_000_000_000}),))
    size, (note,) = chunk(given, USAGE, ExportOptions(), "SIZE")
    assert size == MIB
    assert note == "SIZE: 1048576 bytes, which give more throughput than 4 MiB, the default of SIZE."


@pytest.mark.parametrize(("rate", "size"), [(5_650_000_000, MIB), (5_750_000_000, 4 * MIB)])
def test_less_than_95_percent_of_the_best_is_not_good(rate: int, size: int) -> None:
    assert good_size(drive(curves=(with_rates({MIB: 6_000_000_000, 4 * MIB: rate}),)), USAGE) == size


def test_a_usual_size_that_was_not_measured_is_not_called_slower() -> None:
    given = drive(curves=(with_rates({MIB: 6_000_000_000, 8 * MIB: 6_000_000_000}),))
    size, (note,) = chunk(given, USAGE, ExportOptions(), "SIZE")
    assert size == 8 * MIB
    assert note == "SIZE: 8388608 bytes, because 4 MiB, the default of SIZE, was not measured."


def test_both_directions_must_be_good_with_it() -> None:
    reads = with_rates({MIB: 5_000_000_000, 4 * MIB: 6_000_000_000})
    writes = with_rates({256 * KIB: 1, MIB: 3_000_000_000, 4 * MIB: 2_000_000_000}, "write")
    both = Usage(direction="combined", engines=("psync",), usual_bytes=4 * MIB, usual="")
    assert good_size(drive(curves=(reads, writes)), both) == MIB  # 83 % of the best reads; 4 MiB has 67 % of the writes
    assert good_size(drive(curves=(reads,)), both) == 4 * MIB


def test_a_cap_holds_and_a_given_size_is_taken_as_it_is() -> None:
    given = drive(curves=(with_rates({256 * KIB: 6_000_000_000, MIB: 6_000_000_000, 4 * MIB: 6_000_000_000}),))
    size, (note,) = chunk(given, USAGE, ExportOptions(max_block_size=2 * MIB), "SIZE")
    assert size == MIB
    assert "because of --max-block-size, instead of 4 MiB" in note
    assert chunk(given, USAGE, ExportOptions(request_bytes=768 * KIB), "SIZE") == (768 * KIB, ())


def test_without_a_curve_it_is_the_block_size_and_a_cap_holds_too() -> None:
    given = drive(read=settings(block_size=2 * MIB))
    assert chunk(given, USAGE, ExportOptions(), "SIZE") == (2 * MIB, ())
    size, (note,) = chunk(given, USAGE, ExportOptions(max_block_size=300_000), "SIZE")
    assert size == 256 * KIB
    assert note.startswith("SIZE: 262144 bytes because of --max-block-size")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (ExportOptions(request_bytes=5000), r"--request-size 5000: not for direct I/O; pass a multiple of 4096"),
        (ExportOptions(request_bytes=2 * MIB, max_block_size=MIB), r"2097152: above --max-block-size 1048576"),
        (ExportOptions(max_block_size=100), r"--max-block-size 100: below the smallest block"),
    ],
)
def test_a_size_that_cannot_be_is_refused(options: ExportOptions, said: str) -> None:
    for given in (drive(), drive(curves=all_curves())):
        with pytest.raises(UsageError, match=said):
            chunk(given, USAGE, options, "SIZE")


def test_where_another_number_was_usual_without_a_curve_it_stays() -> None:
    assert needed(drive(), USAGE, MIB, "KEY", otherwise=7).in_flight == 7
    assert needed(drive(curves=all_curves(psync_read=9)), USAGE, MIB, "KEY", otherwise=7)[:2] == (9, True)
