"""Run:ai Model Streamer with the environment that we export: what it loads, and what its log says of how."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import runai
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer, sourced
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import json, sys
import torch
from runai_model_streamer import SafetensorsStreamer
from safetensors.torch import save_file

random = torch.Generator().manual_seed(1)
sent = {f"t{i}": torch.randint(0, 256, (8 << 20,), dtype=torch.uint8, generator=random) for i in range(4)}
save_file(sent, sys.argv[1])
with SafetensorsStreamer() as streamer:
    streamer.stream_file(sys.argv[1])
    same = [torch.equal(tensor, sent[name]) for name, tensor in streamer.get_tensors()]
print(json.dumps(same))
"""


def loaded(python: Path, model: Path, log: Path, environment: dict[str, str]) -> tuple[int, int]:
    """Load a model, and return the depth and the chunk that the streamer logs."""
    logging = {"RUNAI_STREAMER_LOG_LEVEL": "DEBUG", "RUNAI_STREAMER_LOG_FILE": str(log)}
    same: list[bool] = answer(python, SCRIPT, model, **environment, **logging)
    assert same == [True] * 4
    said: Any = re.search(r"(\w+), async io: depth (\d+) .*chunk (\d+) bytes", log.read_text())
    assert said, "neither io_uring nor libaio works here"
    assert said[1] in {"io_uring_direct", "libaio_direct"}
    return int(said[2]), int(said[3])


@pytest.mark.parametrize(("block", "concurrency"), [(512 << 10, 7), (4 << 20, 40)])
def test_the_streamer_reads_our_chunks_at_our_depth(block: int, concurrency: int, tmp_path: Path) -> None:
    python = package_python("runai")
    file, log = tmp_path / "runai.env", tmp_path / "log"
    measured = drive(curves=(curve("io_uring", "read", {block: concurrency}),))
    file.write_text(render(runai.export(measured, "/data", ExportOptions())))
    assert loaded(python, tmp_path / "model.safetensors", log, sourced(file)) == (concurrency, block)


def test_our_usual_size_is_the_streamers(tmp_path: Path) -> None:
    assert loaded(package_python("runai"), tmp_path / "model.safetensors", tmp_path / "log", {})[1] == 8 << 20
