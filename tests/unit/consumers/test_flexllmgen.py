from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import deepspeed
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.flexllmgen import export
from aio_tuned.errors import UsageError
from unit.support.consumer_settings import SOURCE, drive, settings
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Export

KIB = 1 << 10
CURVES = (
    curve("psync", "read", {128 * KIB: 12, 1 << 20: 3}, {128 * KIB: 4_000_000_000, 1 << 20: 6_000_000_000}),
    curve("psync", "write", {128 * KIB: 40, 1 << 20: 20}),
)


def table(made: Export, name: str) -> dict[str, Any]:
    return {str(path[1]): value for path, value in made.values.items() if path[0] == name}


def test_it_has_three_tables_and_the_section_is_that_of_deepspeed_0_7_7() -> None:
    given = drive(combined=settings(overlap_events=False, block_size=64 << 20, queue_depth=64), curves=CURVES)
    made = export(given, "/data", ExportOptions())
    old = deepspeed.export(given, "/data", ExportOptions(for_version="0.7.7"))
    assert made.format == "json"
    assert {path[0] for path in made.values} == {"aio", "TorchDisk", "CostModelConfig"}
    assert table(made, "aio") == table(old, "aio")
    assert table(made, "aio")["thread_count"] == 2
    assert "intra_op_parallelism" not in table(made, "aio")
    assert set(old.notes) <= set(made.notes)


def test_the_copy_threads_are_those_of_reads_at_the_size_of_the_read_ahead() -> None:
    given = drive(curves=CURVES)
    assert table(export(given, "/data", ExportOptions()), "TorchDisk") == {"num_copy_threads": 12}
    larger = ExportOptions(request_bytes=1 << 20)
    assert table(export(given, "/data", larger), "TorchDisk") == {"num_copy_threads": 3}


def test_the_pinned_memory_of_the_copy_threads_is_told() -> None:
    notes = export(drive(curves=CURVES), "/data", ExportOptions()).notes
    assert "num_copy_threads: 24 GiB of pinned memory, 2 GiB for each thread." in notes


@pytest.mark.parametrize(("needed", "threads"), [(16, 16), (17, 16), (100, 16)])
def test_more_threads_than_a_usual_host_has_memory_for_are_not_set(needed: int, threads: int) -> None:
    made = export(drive(curves=(curve("psync", "read", {128 * KIB: needed}),)), "/data", ExportOptions())
    assert table(made, "TorchDisk") == {"num_copy_threads": threads}
    told = f"num_copy_threads: {threads} instead of {needed}, because of the 32 GiB of pinned memory"
    assert any(note.startswith(told) for note in made.notes) == (needed > threads)


def test_the_cost_model_gets_the_figures_of_these_reads_and_of_the_write_settings() -> None:
    made = export(drive(curves=CURVES), "/data", ExportOptions())
    written = 4_000_000_000
    assert table(made, "CostModelConfig") == {
        "dtoc_bdw": 3_880_000_000,
        "ctod_bdw_cache_p": written,
        "ctod_bdw_hidden_p": written,
        "ctod_bdw_g": written,
    }


def test_without_a_curve_the_figures_are_those_of_the_settings() -> None:
    made = export(drive(read=settings(direction="read", throughput_bytes_per_s=6)), "/data", ExportOptions())
    assert table(made, "CostModelConfig")["dtoc_bdw"] == 6
    assert table(made, "TorchDisk") == {"num_copy_threads": 16}


def test_rates_that_nobody_measured_are_left_out_and_told() -> None:
    """Such as the writes of a drive that was only read, whose settings are those of reads."""
    reads = settings(direction="read", throughput_bytes_per_s=6)
    made = export(drive(read=reads, write=reads._replace(direction="write")), "/data", ExportOptions())
    assert table(made, "CostModelConfig") == {"dtoc_bdw": 6}
    (note,) = (note for note in made.notes if "not set" in note)
    assert note.startswith("ctod_bdw_cache_p, ctod_bdw_hidden_p, ctod_bdw_g: ")
    unmeasured = settings(direction="read", source=SOURCE._replace(section="read"))
    nothing = export(drive(read=unmeasured, write=unmeasured), "/data", ExportOptions())
    assert table(nothing, "CostModelConfig") == {}
    assert any("dtoc_bdw, ctod_bdw_cache_p" in note for note in nothing.notes)


def test_the_release_is_flexllmgens_own_and_makes_no_difference() -> None:
    plain = export(drive(curves=CURVES), "/data", ExportOptions())
    named = export(drive(curves=CURVES), "/data", ExportOptions(for_version="0.1.8"))
    assert named.values == plain.values
    (said,) = set(named.notes) - set(plain.notes)
    assert said.startswith("for_version: ")


def test_a_cap_holds_for_the_section() -> None:
    made = export(drive(), "/data", ExportOptions(max_block_size=65536))
    assert table(made, "aio")["block_size"] == 65536


def test_a_device_is_no_folder_to_offload_to() -> None:
    with pytest.raises(UsageError, match="pass a folder"):
        export(drive(), "/dev/nvme0n1", ExportOptions())
