"""fastsafetensors with the file that we export, on a CPU: what it loads, its threads, and how many reads it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import fastsafetensors
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import json, os, sys, warnings
import torch
from fastsafetensors import AutoLoader
from safetensors.torch import save_file

def reads():
    with open("/proc/self/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("syscr"))

def threads():
    return len(os.listdir("/proc/self/task"))

random = torch.Generator().manual_seed(1)
sent = {f"t{i}": torch.randint(0, 256, (8 << 20,), dtype=torch.uint8, generator=random) for i in range(4)}
save_file(sent, sys.argv[1])
# Whatever is loaded and started once is, before anything is counted.
loader = AutoLoader(None, [sys.argv[1]], device="cpu")
dict(loader.iterate_weights())
loader.close()
before = threads()
loader = AutoLoader(None, [sys.argv[1]], device="cpu")
said = {"threads": threads() - before}
start = reads()
loaded = {name: tensor.clone() for name, tensor in loader.iterate_weights()}
said["reads"] = reads() - start
said["same"] = [torch.equal(loaded[name], tensor) for name, tensor in sent.items()]
print(json.dumps(said))
"""


@pytest.mark.parametrize(("block", "concurrency"), [(256 << 10, 7), (1 << 20, 3)])
def test_fastsafetensors_reads_our_blocks_with_our_threads(block: int, concurrency: int, tmp_path: Path) -> None:
    python = package_python("fastsafetensors")
    file = tmp_path / "fastsafetensors.json"
    measured = drive(curves=(curve("psync", "read", {block: concurrency}),))
    file.write_text(render(fastsafetensors.export(measured, "/data", ExportOptions())))
    model = tmp_path / "model.safetensors"
    said: dict[str, Any] = answer(python, SCRIPT, model, FASTSAFETENSORS_CONFIG=str(file))
    assert said["threads"] == concurrency
    assert (32 << 20) // block <= said["reads"] <= (32 << 20) // block + 12  # and the header, and what it asks /proc
    assert said["same"] == [True] * 4
