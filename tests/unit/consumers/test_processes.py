from __future__ import annotations

import pytest

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.processes import shared_note
from aio_tuned.model.profile import Concurrency
from unit.support.consumer_settings import drive

MEASURED = Concurrency(
    processes=(1, 2, 4),
    read_throughput_bytes_per_s=(6_500_000_000, 6_400_000_000, 6_100_000_000),
    read_p99_us=(1.0, 1.0, 1.0),
    read_slowest_share=(1.0, 1.0, 1.0),
    read_divisor=(1, 2, 4),
    write_throughput_bytes_per_s=(3_000_000_000, 3_100_000_000, 2_900_000_000),
    write_p99_us=(1.0, 1.0, 1.0),
    write_slowest_share=(1.0, 1.0, 1.0),
    write_divisor=(1, 1, 2),
)


def test_the_divisor_and_what_all_together_get_are_named() -> None:
    given = drive(concurrency=MEASURED)
    assert shared_note(given, "read", "KEY", "per engine") == (
        "KEY: per engine; with 2 processes divide by 2: reads 6.40 GB/s together;"
        " with 4 processes divide by 4: reads 6.10 GB/s together."
    )
    assert "with 2 processes keep it: writes 3.10 GB/s together" in shared_note(given, "write", "KEY", "per engine")


def test_one_number_for_both_directions_has_the_larger_divisor() -> None:
    note = shared_note(drive(concurrency=MEASURED), "combined", "KEY", "per rank")
    assert "with 4 processes divide by 4: reads 6.10 GB/s, writes 2.90 GB/s together" in note


@pytest.mark.parametrize(
    "measured", [None, Concurrency(processes=(1,)), Concurrency(processes=(1, 2), read_divisor=None)], ids=str
)
def test_without_figures_the_advice_is_the_number_of_processes(measured: Concurrency | None) -> None:
    note = shared_note(drive(concurrency=measured), "combined", "KEY", "per rank")
    assert note == "KEY: per rank; if several use the drive at once, divide by their number."


@pytest.mark.parametrize("name", ["deepspeed", "lmcache", "nixl", "sglang", "vllm"])
def test_the_notes_on_several_processes_have_figures(name: str) -> None:
    made = consumers.load(name).export(drive(concurrency=MEASURED), "/data", ExportOptions())
    assert any("with 4 processes divide by 4: reads 6.10 GB/s" in note for note in made.notes)
    before = consumers.load(name).export(drive(), "/data", ExportOptions())
    assert not any("with 4 processes" in note for note in before.notes)
