"""Both sides are told what the export and the consumer's default say, and what they must then be seen to do."""

from __future__ import annotations

from typing import Any

import pytest

from aio_tuned import consumers
from aio_tuned.consumers.export import Export, ExportOptions
from aio_tuned.errors import UsageError
from aio_tuned.launch.verify import CONSUMERS
from aio_tuned.launch.verify.effect import Asked
from aio_tuned.launch.verify.sides import DIRECTIONS, SameSettingsError, make
from aio_tuned.model.setting import DEFAULT_SETTING
from unit.support.consumer_settings import drive, settings
from unit.support.size_curves import curve

MIB, GIB = 1 << 20, 1 << 30
CURVES = (curve("psync", "read", {4 * MIB: 7}), curve("psync", "write", {4 * MIB: 3}))


def export(name: str, **fields: Any) -> Export:  # noqa: ANN401 - whatever the fields are
    return consumers.load(name).export(drive(curves=CURVES, **fields), "/data", ExportOptions())


def test_deepspeeds_sides_are_its_sections() -> None:
    pair = make("deepspeed", export("deepspeed"), GIB)
    assert pair.ours.values == {
        "aio.block_size": MIB,
        "aio.queue_depth": 16,
        "aio.intra_op_parallelism": 2,
        "aio.single_submit": False,
        "aio.overlap_events": True,
    }
    assert pair.default.values["aio.queue_depth"] == 8
    assert pair.ours.asked["read"] == Asked(threads=2, depth=16, direct=True)
    assert pair.default.asked["write"] == Asked(threads=1, depth=8, direct=True)


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 8, 12])
def test_deepspeeds_transfers_are_whole_parts_of_all_threads(threads: int) -> None:
    pair = make("deepspeed", export("deepspeed", combined=settings(io_parallelism=threads, block_size=1 << 19)), GIB)
    assert pair.transfer_bytes % (threads * 4096) == 0
    assert 120 * MIB < pair.transfer_bytes <= 128 * MIB


def test_kvikio_gets_ours_by_its_variables_and_no_variable_for_its_default() -> None:
    pair = make("kvikio", export("kvikio"), GIB)
    assert pair.default.environment == {}
    assert pair.ours.environment["KVIKIO_NTHREADS"] == "7"
    assert pair.ours.environment["KVIKIO_AUTO_DIRECT_IO_READ"] == "1"
    assert pair.default.asked["read"] == Asked(threads=1, depth=None, direct=False)
    assert pair.default.asked["write"].direct is True
    assert pair.ours.asked["read"] == Asked(threads=7, depth=None, direct=True)


def test_lmcache_moves_whole_chunks() -> None:
    pair = make("lmcache", export("lmcache"), 400 * MIB)
    assert pair.transfer_bytes == 192 * MIB
    assert pair.filled is False
    assert pair.default.asked["read"] == Asked(threads=4, depth=None, direct=False)
    assert pair.ours.asked["read"] == Asked(threads=6, depth=None, direct=True)  # of 7, with 6 chunks


def test_fios_jobs_are_those_of_the_export_with_a_file_of_their_own() -> None:
    pair = make("fio", export("fio"), GIB)
    for side, depth, threads in ((pair.default, 8, 1), (pair.ours, 16, 2)):
        for direction in DIRECTIONS:
            job = side.values[direction]
            assert (job["rw"], job["iodepth"], job["numjobs"], job["direct"]) == (direction, depth, threads, 1)
            assert job["size"] * job["numjobs"] <= job["filesize"] == pair.transfer_bytes
            assert "unlink" not in job
    assert pair.default.values["read"]["bs"] == DEFAULT_SETTING.block_size


def test_fio_in_place_of_a_consumer_makes_its_requests() -> None:
    kvikio = make("kvikio", export("kvikio"), GIB, stand_in=True)
    assert kvikio.driver == "fio"
    job = kvikio.default.values["read"]
    assert (job["ioengine"], job["bs"], job["numjobs"], job["direct"]) == ("psync", 4 * MIB, 1, 0)
    assert "time_based" not in job  # the file would be in the page cache the second time
    assert kvikio.ours.values["read"]["numjobs"] == 7
    lmcache = make("lmcache", export("lmcache"), GIB, stand_in=True).default.values["write"]
    assert (lmcache["bs"], lmcache["numjobs"], lmcache["direct"], lmcache["end_fsync"]) == (32 * MIB, 4, 0, 1)
    deepspeed = make("deepspeed", export("deepspeed"), GIB, stand_in=True).ours.values["write"]
    assert (deepspeed["ioengine"], deepspeed["iodepth_batch_submit"], deepspeed["numjobs"]) == ("libaio", 16, 2)


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_transfer_fits_into_the_space_that_a_sweep_may_take(name: str) -> None:
    assert make(name, export(name), 100 * MIB).transfer_bytes <= 100 * MIB


def test_the_default_has_nothing_to_be_compared_with() -> None:
    same = settings(block_size=MIB, queue_depth=8, io_parallelism=1, overlap_events=True, single_submit=False)
    with pytest.raises(SameSettingsError, match="its own default; there is nothing to compare"):
        make("deepspeed", export("deepspeed", combined=same), GIB)


def test_a_direction_that_was_not_measured_cannot_be_compared_by_fio() -> None:
    read = settings(direction="read")
    other = settings(direction="write")
    other = other._replace(source=other.source._replace(section="read"))
    with pytest.raises(UsageError, match="writes were not measured"):
        make("fio", export("fio", read=read, write=other), GIB)


def test_a_consumer_without_known_defaults_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        make("kvikio", Export(format="env", values={("A",): 1}), GIB)


def test_the_chunks_of_both_of_lmcaches_sides_fit_into_the_space() -> None:
    """Each side keeps files of its own."""
    pair = make("lmcache", export("lmcache"), 320 * MIB)
    assert 2 * pair.transfer_bytes <= 320 * MIB
    with pytest.raises(UsageError, match="too little space"):
        make("lmcache", export("lmcache"), 63 * MIB)


def test_fio_with_many_large_blocks_does_not_take_more_than_the_space() -> None:
    """Each of its threads needs a block of its own."""
    many = export("fio", read=settings(io_parallelism=32, block_size=16 * MIB))
    assert make("fio", many, GIB).transfer_bytes == 512 * MIB
    with pytest.raises(UsageError, match="511 MiB: too little space"):
        make("fio", many, 511 * MIB)
