"""TensorNVMe's offloader made with the arguments that we export, on a CPU."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import tensornvme
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import RINGS, answer
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

OFFLOAD = (
    RINGS
    + """
import ctypes, json, os, sys
from pathlib import Path
import torch
from tensornvme import DiskOffloader

arguments = json.loads(Path(sys.argv[1]).read_text())
before = rings()
offloader = DiskOffloader(sys.argv[2], **arguments, backend="aio")
ring = rings() - before
tensors = [torch.rand(5000) for _ in range(arguments["n_entries"])]
copies = [tensor.clone() for tensor in tensors]
for tensor in tensors:
    offloader.async_write(tensor)
offloader.synchronize()
freed = all(tensor.untyped_storage().size() == 0 for tensor in tensors)
(file,) = Path(sys.argv[2]).iterdir()
written = file.read_bytes() == b"".join(copy.numpy().tobytes() for copy in copies)
for tensor in tensors:
    offloader.async_read(tensor)
offloader.synchronize()
print(json.dumps({
    "ring": ring, "rings": {size: ring_of(int(size)) for size in sys.argv[3:]},
    "freed": freed, "written": written, "same": all(map(torch.equal, tensors, copies)),
}))
"""
)

CREATE = """
import json, sys
from tensornvme import DiskOffloader

try:
    DiskOffloader(sys.argv[1], **json.loads(sys.argv[2]), backend="aio")
    print(json.dumps("taken"))
except TypeError as error:
    print(json.dumps("TypeError"))
"""

EXCEED = """
import sys
import torch
from tensornvme import DiskOffloader

offloader = DiskOffloader(sys.argv[1], n_entries=4, backend="aio")
for _ in range(5000):
    offloader.async_write(torch.rand(8))
print("submitted", flush=True)
offloader.synchronize()
print("done", flush=True)
"""


def arguments_file(path: Path, entries: int) -> Path:
    measured = drive(curves=(curve("io_uring", "write", {16 << 20: entries}),))
    path.write_text(render(tensornvme.export(measured, "/data", ExportOptions())))
    return path


@pytest.mark.parametrize("entries", [32, 600])
def test_its_queue_is_as_long_as_what_we_export_and_moves_as_many_tensors(tmp_path: Path, entries: int) -> None:
    file = arguments_file(tmp_path / "arguments.json", entries)
    said: dict[str, Any] = answer(package_python("tensornvme"), OFFLOAD, file, tmp_path / "data", str(entries), "2048")
    assert said["ring"] == said["rings"][str(entries)] != said["rings"]["2048"]
    assert (said["freed"], said["written"], said["same"]) == (True, True, True)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ('{"n_entries": 32}', "taken"),
        ('{"n_entries": "32"}', "TypeError"),
        ('{"n_entries": 32, "block_size": 1048576}', "TypeError"),
    ],
)
def test_it_takes_a_number_and_no_other_parameter(tmp_path: Path, arguments: str, what: str) -> None:
    assert answer(package_python("tensornvme"), CREATE, tmp_path / "data", arguments) == what


def test_tensors_beyond_the_queue_are_lost_as_the_note_says(tmp_path: Path) -> None:
    words: list[str | Path] = [package_python("tensornvme"), "-c", EXCEED, tmp_path / "data"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "submitted\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(5)
        finally:
            process.kill()
