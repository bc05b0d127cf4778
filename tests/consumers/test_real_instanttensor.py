"""InstantTensor with the environment that we export, without a GPU: what it loads, and what its log says of how.

A library stands in for the CUDA runtime, with host memory as the GPU's. The reads are InstantTensor's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import instanttensor
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer, sourced
from consumers.stubs import library
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = (
    *("SetDevice", "StreamCreateWithFlags", "StreamDestroy", "StreamWaitEvent", "EventCreateWithFlags", "EventRecord"),
    *("EventDestroy", "EventQuery", "EventSynchronize", "HostRegister", "HostUnregister"),
)
RUNTIME = """
#include <stdlib.h>
#include <string.h>
int cudaMalloc(void **to, size_t size) { return posix_memalign(to, 4096, size); }
int cudaFree(void *at) { free(at); return 0; }
int cudaMemcpyAsync(void *to, const void *from, size_t size) { memcpy(to, from, size); return 0; }
const char *cudaGetErrorString(int error) { return error ? "error" : "none"; }
"""
SCRIPT = """
import ctypes, json, os, sys
from types import SimpleNamespace

ctypes.CDLL(sys.argv[2])  # InstantTensor looks for the CUDA runtime among the libraries of the process
import torch
from safetensors.torch import save_file

torch.cuda.get_device_properties = lambda device: SimpleNamespace(is_integrated=False)
torch.cuda.mem_get_info = lambda device: (4 << 30, 4 << 30)
torch.cuda.current_stream = lambda: SimpleNamespace(synchronize=lambda: None)
import instanttensor
from instanttensor import _C

random, size = torch.Generator().manual_seed(1), 8 << 20
sent = {f"t{i}": torch.randint(0, 256, (size,), dtype=torch.uint8, generator=random) for i in range(4)}
save_file(sent, sys.argv[1])
os.dup2(os.open(sys.argv[3], os.O_CREAT | os.O_WRONLY, 0o600), 2)

# Torch without CUDA takes no tensor of a GPU, so its address is read from the capsule, which begins with it.
pointer = ctypes.pythonapi.PyCapsule_GetPointer
pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
same = []
with instanttensor.safe_open(sys.argv[1], framework="pt", device="cuda:0") as file:
    for place, name in enumerate(file.offset_keys()):
        capsule = _C.get_dl_tensor(file.loader_handle, place, size)
        at = ctypes.c_void_p.from_address(pointer(capsule, b"dltensor")).value
        same.append(ctypes.string_at(at, size) == sent[name].numpy().tobytes())
print(json.dumps({"same": same, "backend": file.backend.name}))
"""


def loaded(tmp_path: Path, environment: dict[str, str]) -> tuple[int, int]:
    """Load a model, and return the slots and the size of a read that InstantTensor logs."""
    python, log = package_python("instanttensor"), tmp_path / "log"
    stub = library(
        RUNTIME + "".join(f"int cuda{name}(void) {{ return 0; }}\n" for name in NOTHING), tmp_path / "libcudart.so.12"
    )
    model = tmp_path / "model.safetensors"
    said: dict[str, Any] = answer(python, SCRIPT, model, stub, log, INSTANTTENSOR_DEBUG="1", **environment)
    assert said["same"] == [True] * 4
    assert said["backend"] in {"URING", "AIO"}  # both with O_DIRECT
    found = re.search(r"Config: .* chunk_size=(\d+), io_depth=(\d+)", log.read_text())
    assert found
    return int(found[2]), int(found[1])


@pytest.mark.parametrize(("block", "reads", "slots"), [(512 << 10, 7, 14), (1 << 20, 1, 3)])
def test_the_loader_has_our_slots_and_reads_of_our_size(block: int, reads: int, slots: int, tmp_path: Path) -> None:
    file = tmp_path / "instanttensor.env"
    measured = drive(curves=(curve("io_uring", "read", {block: reads}),))
    file.write_text(render(instanttensor.export(measured, "/data", ExportOptions())))
    assert loaded(tmp_path, sourced(file)) == (slots, block)


def test_our_usual_size_is_the_loaders_and_its_depth_is_larger_than_ours(tmp_path: Path) -> None:
    # 512 slots of 8 MiB do not fit into half of the memory that this GPU has.
    assert loaded(tmp_path, {}) == (256, 8 << 20)


def test_our_limits_are_the_loaders() -> None:
    script = "import json, torch; from instanttensor import _C; print(json.dumps([_C.MAX_IO_DEPTH, _C.MAX_CHUNK_SIZE]))"
    assert answer(package_python("instanttensor"), script) == [1024, 1 << 30]
