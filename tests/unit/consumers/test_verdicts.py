"""A consumer for which our settings are not better gets its own default, and only then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aio_tuned import consumers
from aio_tuned.consumers import proven
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.verdicts import setting_text
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.reader.section import drive_settings
from aio_tuned.reader.types import Disk, FoundProfile
from unit.support.builders import profile
from unit.support.consumer_settings import drive
from unit.support.verdicts import not_better, verdict

VERIFIABLE = ("deepspeed", "fio", "kvikio", "lmcache")
PATH = "/mnt/models"


def ours(name: str) -> str:
    """The text of the values that we give to the consumer."""
    return setting_text(consumers.export_for(name, drive(), PATH, ExportOptions()))


@pytest.mark.parametrize("name", VERIFIABLE)
def test_every_default_is_of_a_value_that_is_exported(name: str) -> None:
    made = consumers.export_for(name, drive(), PATH, ExportOptions())
    assert made.defaults
    assert set(made.defaults) <= set(made.values)
    assert {path: type(value) for path, value in made.defaults.items()} == {
        path: type(made.values[path]) for path in made.defaults
    }


@pytest.mark.parametrize("name", VERIFIABLE)
def test_settings_that_are_not_better_give_way_to_the_default_with_a_note(name: str) -> None:
    usual = consumers.export_for(name, drive(), PATH, ExportOptions())
    judged = drive(verified=(not_better(consumer=name, setting=ours(name)),))
    made = consumers.export_for(name, judged, PATH, ExportOptions())
    assert made.values == {**usual.values, **usual.defaults}
    assert list(made.values) == list(usual.values)
    assert made.notes[0].startswith(f"{name}: its own default, because aio-tuned verify found")
    assert "0.990 times the throughput (95 % interval 0.970 to 1.010) with 0.19.8" in made.notes[0]


def test_the_note_tells_which_direction_is_slower_although_both_together_gain() -> None:
    slower = not_better(setting=ours("deepspeed"), ratio=1.2, ci95=(1.1, 1.3), write_ratio=0.8, write_ci95=(0.7, 0.9))
    made = consumers.export_for("deepspeed", drive(verified=(slower,)), PATH, ExportOptions())
    assert (
        "not better: 0.800 times the throughput of writes (95 % interval 0.700 to 0.900) with 0.19.8" in made.notes[0]
    )


def test_deepspeeds_default_is_the_one_that_every_sweep_measures() -> None:
    judged = drive(verified=(not_better(setting=ours("deepspeed")),))
    made = consumers.export_for("deepspeed", judged, PATH, ExportOptions())
    assert made.values[("aio", "block_size")] == DEFAULT_SETTING.block_size
    assert made.values[("aio", "queue_depth")] == DEFAULT_SETTING.queue_depth


def test_notes_on_replaced_values_are_left_out_and_others_stay() -> None:
    judged = drive(verified=(not_better(consumer="lmcache", setting=ours("lmcache")),))
    made = consumers.export_for("lmcache", judged, PATH, ExportOptions())
    assert not any(note.startswith("disk_io_threads:") for note in made.notes)
    assert any(note.startswith("local_disk: set it to /mnt/models") for note in made.notes)


@pytest.mark.parametrize(
    ("consumer", "measured", "wanted"),
    [("deepspeed", "0.19.8", "v0.19.8"), ("fio", "fio-3.33", "3.33"), ("lmcache", "0.6.0", "0.6")],
)
def test_a_release_is_the_same_however_it_is_written(consumer: str, measured: str, wanted: str) -> None:
    judged = drive(verified=(not_better(consumer=consumer, setting=ours(consumer), version=measured),))
    made = consumers.export_for(consumer, judged, PATH, ExportOptions(for_version=wanted))
    assert made.notes[0].startswith(f"{consumer}: its own default")


@pytest.mark.parametrize(
    ("found", "options"),
    [
        pytest.param(verdict, {}, id="better"),
        pytest.param(lambda **fields: not_better(**{**fields, "setting": "x"}), {}, id="other values"),
        pytest.param(lambda **fields: not_better(**{**fields, "consumer": "vllm"}), {}, id="other consumer"),
        pytest.param(not_better, {"for_version": "0.19.7"}, id="other release"),
        pytest.param(not_better, {"max_block_size": 1 << 19}, id="capped values"),
    ],
)
def test_a_verdict_on_something_else_changes_nothing(found: Any, options: dict[str, Any]) -> None:  # noqa: ANN401 - a maker
    given = ExportOptions(**options)
    usual = consumers.export_for("deepspeed", drive(), PATH, given)
    judged = drive(verified=(found(consumer="deepspeed", setting=ours("deepspeed")),))
    assert consumers.export_for("deepspeed", judged, PATH, given) == usual


def test_a_verdict_holds_for_the_profile_that_gives_these_values_and_no_other() -> None:
    of_profile = verdict(
        setting=(
            "aio.block_size=1048576 aio.queue_depth=16 aio.intra_op_parallelism=1 aio.single_submit=false"
            " aio.overlap_events=true"
        )
    )
    measured = profile()
    assert measured.combined.setting.queue_depth == 16  # type: ignore[union-attr]  # a CombinedResult
    held = replace(of_profile, setting=_text(measured))
    assert proven.holds(held, measured)
    assert not proven.holds(replace(held, setting=held.setting.replace("16", "17")), measured)
    assert not proven.holds(held, measured.doubted("firmware changed"))
    assert not proven.holds(replace(held, consumer="of a later version"), measured)


def _text(measured: Any) -> str:  # noqa: ANN401 - a Profile
    setting = measured.combined.setting
    return (
        f"aio.block_size={setting.block_size} aio.queue_depth={setting.queue_depth}"
        f" aio.intra_op_parallelism={setting.io_parallelism} aio.single_submit={str(setting.single_submit).lower()}"
        f" aio.overlap_events={str(setting.overlap_events).lower()}"
    )


def test_a_verdict_on_an_old_release_holds_with_that_releases_keys() -> None:
    old = verdict(version="0.16.3", setting=_text(profile()).replace("intra_op_parallelism", "thread_count"))
    assert proven.holds(old, profile())


@pytest.mark.parametrize("name", VERIFIABLE)
@pytest.mark.parametrize("version", ["fio-3.33", "0.5.0", "0.4.dirty"])
def test_a_verdict_holds_whatever_the_release_is_called(name: str, version: str) -> None:
    """fio names its release so, also in place of a package; a development copy may have a release of any kind."""
    measured = profile()
    disk = Disk(measured.device.id, measured.device.name, "", "", 0, node="", number="")
    found = drive_settings(FoundProfile(disk, Path("x.toml"), measured))
    setting = setting_text(consumers.load(name).export(found, PATH, ExportOptions()))
    assert proven.holds(verdict(consumer=name, version=version, setting=setting), measured)


@pytest.mark.parametrize(("release", "told"), [("0.18.3", True), ("0.18.4", False), (None, False)])
def test_a_release_whose_handles_can_deadlock_is_told(release: str | None, told: bool) -> None:
    made = consumers.export_for("deepspeed", drive(), PATH, ExportOptions(for_version=release))
    assert any("two handles in one process can deadlock in wait()" in note for note in made.notes) is told


def test_the_error_with_unaligned_tensors_is_told() -> None:
    made = consumers.export_for("deepspeed", drive(), PATH, ExportOptions())
    assert any("although the kernel has refused the write" in note for note in made.notes)
