"""DeepSpeed's own configuration class and operator with the section that we export, on a CPU."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import deepspeed
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.merge.apply import merge
from aio_tuned.consumers.rendering import render
from consumers.packages import PROJECT, folder, package_python
from consumers.scripts import answer
from unit.support.consumer_settings import drive, settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.reader import Settings
    from storage import Filesystem

MIB = 1 << 20

# Prints DeepSpeed's own idea of the section in each of the files.
CONFIGURATION = """
import json, sys
from deepspeed.runtime.config import DeepSpeedConfig

print(json.dumps([DeepSpeedConfig(file).aio_config for file in sys.argv[1:]]))
"""

# Makes a handle as its swappers do, moves a tensor with it there and back, and says what came of it.
MOVE = """
import json, os, sys
from pathlib import Path
import torch
from deepspeed.ops.op_builder import AsyncIOBuilder
from deepspeed.runtime.config import DeepSpeedConfig

operator = AsyncIOBuilder().load(verbose=False)
said = []
for size, file in zip(json.loads(sys.argv[2]), sys.argv[3:]):
    aio = DeepSpeedConfig(file).aio_config
    aio.pop("use_gds")
    handle = operator.aio_handle(**aio)
    target = Path(sys.argv[1])
    target.unlink(missing_ok=True)
    data = torch.randint(0, 256, (size,), dtype=torch.uint8)
    back = torch.zeros_like(data)
    written = handle.sync_pwrite(data, str(target))
    same_file = target.exists() and target.read_bytes() == data.numpy().tobytes()
    read = handle.sync_pread(back, str(target)) if same_file else None
    said.append({
        "handle": [
            handle.get_block_size(), handle.get_queue_depth(), handle.get_intra_op_parallelism(),
            handle.get_single_submit(), handle.get_overlap_events(),
        ],
        "written": written, "file": same_file, "read": read, "same": torch.equal(data, back),
    })
print(json.dumps(said))
"""

REFUSED = """
import json, sys
from deepspeed.ops.op_builder import AsyncIOBuilder
from deepspeed.runtime.config import DeepSpeedConfig

aio = DeepSpeedConfig(sys.argv[1]).aio_config
aio.pop("use_gds")
try:
    AsyncIOBuilder().load(verbose=False).aio_handle(**aio)
    error = None
except TypeError as caught:
    error = type(caught).__name__
print(json.dumps({"aio": aio, "error": error}))
"""


def environment() -> dict[str, str]:
    """DeepSpeed's for a CPU. ninja has to be the same at each start: another release of it builds all again."""
    programs = package_python("deepspeed").parent
    return {
        "DS_ACCELERATOR": "cpu",
        "TORCH_EXTENSIONS_DIR": os.environ.get("TORCH_EXTENSIONS_DIR") or str(folder() / "deepspeed/ext"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }


def ask(script: str, *arguments: str | Path) -> Any:  # noqa: ANN401 - what it says
    return answer(package_python("deepspeed"), script, *arguments, **environment())


@pytest.fixture(scope="module")
def operator() -> None:
    """The operator is built at its first use, which takes minutes."""
    load = "from deepspeed.ops.op_builder import AsyncIOBuilder; AsyncIOBuilder().load(verbose=False)"
    words = [str(package_python("deepspeed")), "-c", load]
    done = subprocess.run(words, env=os.environ | environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def config(path: Path, chosen: Settings, before: str = '{"train_batch_size": 1}') -> Path:
    """A configuration of DeepSpeed's with our section in it."""
    path.write_text(merge(deepspeed.export(drive(combined=chosen), "/data", ExportOptions()), before, str(path)))
    return path


def test_its_configuration_has_exactly_our_values_and_keeps_the_rest(tmp_path: Path) -> None:
    before = '{"train_batch_size": 1, "aio": {"block_size": 4096, "queue_depth": 1, "use_gds": false}}'
    chosen = [
        settings(block_size=256 << 10, queue_depth=64, io_parallelism=8, overlap_events=overlap, single_submit=single)
        for overlap, single in itertools.product((True, False), repeat=2)
    ]
    files = [config(tmp_path / f"{index}.json", one, before) for index, one in enumerate(chosen)]
    taken = ask(CONFIGURATION, *files)
    for aio, wanted in zip(taken, chosen, strict=True):
        assert aio == {
            "block_size": wanted.block_size,
            "queue_depth": wanted.queue_depth,
            "intra_op_parallelism": wanted.io_parallelism,
            "single_submit": wanted.single_submit,
            "overlap_events": wanted.overlap_events,
            "use_gds": False,
        }
        assert [type(value) for value in aio.values()] == [int, int, int, bool, bool, bool]
    assert json.loads(files[0].read_text())["train_batch_size"] == 1


def test_the_export_alone_is_a_configuration_of_the_section(tmp_path: Path) -> None:
    file = tmp_path / "ds.json"
    file.write_text(render(deepspeed.export(drive(), "/data", ExportOptions())))
    assert list(json.loads(file.read_text())) == ["aio"]


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("operator")
def test_its_handle_takes_the_values_and_moves_every_byte(tmp_path: Path) -> None:
    chosen = [
        *(
            settings(block_size=MIB, queue_depth=8, overlap_events=overlap, single_submit=single)
            for overlap, single in itertools.product((True, False), repeat=2)
        ),
        settings(block_size=128 << 10, queue_depth=128, io_parallelism=3),
        settings(block_size=4096, queue_depth=32, io_parallelism=8, overlap_events=False),
        settings(block_size=8 * MIB, queue_depth=4, io_parallelism=1),
    ]
    files = [config(tmp_path / f"{index}.json", one) for index, one in enumerate(chosen)]
    sizes = [one.io_parallelism * (5 * MIB + 4096) for one in chosen]
    said = ask(MOVE, tmp_path / "data", json.dumps(sizes), *files)
    for one, wanted in zip(said, chosen, strict=True):
        values = (wanted.block_size, wanted.queue_depth, wanted.io_parallelism)
        assert one["handle"] == [*values, wanted.single_submit, wanted.overlap_events]
        assert (one["written"], one["file"], one["read"], one["same"]) == (1, True, 1, True)


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("operator")
def test_from_a_tune_to_bytes_on_the_drive(filesystem: Callable[..., Filesystem], tmp_path: Path) -> None:
    """All the way, as a user goes it: tune, export into a configuration, and let DeepSpeed work with that."""
    drive_of_user, profiles, file = filesystem().path, tmp_path / "profiles", tmp_path / "ds_config.json"
    file.write_text('{"train_batch_size": 1, # one\n}')
    command = [sys.executable, "-m", "aio_tuned"]
    grid = ("--grid=block_size=128K,1M", "--grid=queue_depth=8", "--grid=io_parallelism=1,2", "--time-budget=12s")
    package = {**os.environ, "PYTHONPATH": str(PROJECT / "daemon")}
    tuned = [*command, "tune", str(drive_of_user), "--out", str(profiles), *grid, "--json"]
    done = subprocess.run(tuned, env=package, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    chosen = json.loads(done.stdout)["profile"]["combined"]
    exported = [*command, "export", "deepspeed", str(drive_of_user), "--profiles", str(profiles), "--merge", str(file)]
    subprocess.run(exported, env=package, capture_output=True, check=True)
    (said,) = ask(MOVE, drive_of_user / "swapped", json.dumps([16 * MIB]), file)
    keys = ("block_size", "queue_depth", "io_parallelism", "single_submit", "overlap_events")
    assert said["handle"] == [chosen[key] for key in keys]
    assert (said["written"], said["file"], said["read"], said["same"]) == (1, True, 1, True)


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("operator")
def test_a_queue_of_2_gib_writes_too_much_in_sequential_mode_and_ours_does_not(tmp_path: Path) -> None:
    large = settings(block_size=16 * MIB, queue_depth=128, io_parallelism=1, overlap_events=False)
    ours = config(tmp_path / "ours.json", large)
    theirs = tmp_path / "theirs.json"
    section = json.loads(ours.read_text())
    assert section["aio"]["queue_depth"] == 127
    section["aio"]["queue_depth"] = 128
    theirs.write_text(json.dumps(section))
    said = ask(MOVE, tmp_path / "data", json.dumps([40 * MIB] * 2), ours, theirs)
    assert [one["file"] for one in said] == [True, False]


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("operator")
def test_threads_that_do_not_divide_a_transfer_are_refused_as_the_note_says(tmp_path: Path) -> None:
    three = config(tmp_path / "ds.json", settings(io_parallelism=3))
    (said,) = ask(MOVE, tmp_path / "data", json.dumps([4 * MIB]), three)
    assert (said["written"], said["file"], said["read"]) == (-1, False, None)


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("operator")
def test_what_its_own_tuner_prints_is_not_what_its_handle_takes(tmp_path: Path) -> None:
    """Booleans as strings are refused, and num_threads is dropped without a word: why we have an exporter."""
    theirs = tmp_path / "tuned.json"
    tuned = {"single_submit": "false", "overlap_events": "true", "num_threads": 8, "queue_depth": 32, "block_size": MIB}
    theirs.write_text(json.dumps({"train_batch_size": 1, "aio": tuned}))
    said = ask(REFUSED, theirs)
    assert said["error"] == "TypeError"
    assert said["aio"]["intra_op_parallelism"] == 1
    ours = config(tmp_path / "ours.json", settings(io_parallelism=8), theirs.read_text())
    assert ask(REFUSED, ours)["error"] is None


def test_the_old_name_of_the_threads_is_dropped_by_this_release(tmp_path: Path) -> None:
    old = deepspeed.export(drive(combined=settings(io_parallelism=8)), "/data", ExportOptions(for_version="0.16.3"))
    file = tmp_path / "old.json"
    file.write_text(merge(old, '{"train_batch_size": 1}', "old.json"))
    assert json.loads(file.read_text())["aio"]["thread_count"] == 8
    (aio,) = ask(CONFIGURATION, file)
    assert aio["intra_op_parallelism"] == 1
    assert "thread_count" not in aio
