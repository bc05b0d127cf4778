"""KvikIO with the environment that we export, on a CPU: its settings, its threads, and how many requests it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aio_tuned.consumers import kvikio
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer, sourced
from consumers.stubs import library
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

# KvikIO asks the CUDA driver whether a buffer is the host's. Zeros say: yes, and there are no GPUs.
DRIVER = (
    *("MemHostAlloc", "MemFreeHost", "MemHostRegister", "MemHostUnregister", "MemcpyHtoDAsync", "MemcpyDtoHAsync"),
    *("MemcpyAsync", "MemcpyBatchAsync", "PointerGetAttribute", "PointerGetAttributes", "CtxCreate", "CtxDestroy"),
    *("CtxPushCurrent", "CtxPopCurrent", "CtxGetCurrent", "CtxGetDevice", "MemGetAddressRange", "GetErrorName"),
    *("GetErrorString", "DeviceGet", "DeviceGetCount", "DeviceGetAttribute", "DevicePrimaryCtxRetain"),
    *("DevicePrimaryCtxRelease", "StreamSynchronize", "StreamCreate", "StreamDestroy", "DriverGetVersion"),
    *("EventSynchronize", "EventCreate", "EventDestroy", "EventRecord", "EventQuery", "LaunchHostFunc"),
)
VERSIONS = ("", "_v2", "_v3", "_v4")

SCRIPT = """
import json, os, sys, threading
import numpy as np
import kvikio, kvikio.defaults

def counted():
    with open("/proc/self/io") as file:
        return {name: int(value) for name, value in (line.split(":") for line in file)}

names = ("num_threads", "task_size", "bounce_buffer_size", "auto_direct_io_read", "auto_direct_io_write")
said = {name: kvikio.defaults.get(name) for name in names}
data = np.random.default_rng(1).integers(0, 256, 32 << 20, dtype=np.uint8)
start = counted()
with kvikio.CuFile(sys.argv[1], "w") as file:
    file.pwrite(data).get()
os.sync()
middle, back = counted(), np.empty_like(data)
with kvikio.CuFile(sys.argv[1], "r") as file:
    file.pread(back).get()
end = counted()
said["writes"], said["reads"] = middle["syscw"] - start["syscw"], end["syscr"] - middle["syscr"]
said["same"] = bool((data == back).all())
pool = [open(f"/proc/self/task/{thread}/comm").read() for thread in os.listdir("/proc/self/task")]
said["pool"] = sum(name.startswith("kvikio") for name in pool)
print(json.dumps(said))
"""


def test_kvikio_reads_and_writes_with_our_threads_and_tasks(tmp_path: Path) -> None:
    python = package_python("kvikio")
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    library("".join(f"int cu{name}{v}(void){{return 0;}}" for name in DRIVER for v in VERSIONS), stubs / "libcuda.so.1")
    file = tmp_path / "kvikio.env"
    measured = drive(curves=(curve("psync", "read", {512 << 10: 7}), curve("psync", "write", {512 << 10: 3})))
    file.write_text(render(kvikio.export(measured, "/data", ExportOptions())))
    # COMPAT_MODE: not by cuFile, which has no GPU here.
    extra = {"LD_LIBRARY_PATH": str(stubs), "KVIKIO_COMPAT_MODE": "ON"}
    said: dict[str, Any] = answer(python, SCRIPT, tmp_path / "data", **sourced(file), **extra)
    assert (said["num_threads"], said["pool"]) == (7, 7)
    assert said["task_size"] == 524288
    assert said["bounce_buffer_size"] == 16777216
    assert (said["auto_direct_io_read"], said["auto_direct_io_write"]) == (True, True)
    assert 64 <= said["writes"] <= 64 + 8  # 32 MiB in tasks of 512 KiB, and what else was written
    assert 64 <= said["reads"] <= 64 + 8
    assert said["same"]


def test_our_usual_size_is_kvikios() -> None:
    script = "import json, kvikio.defaults as d; print(json.dumps(d.get('task_size')))"
    assert answer(package_python("kvikio"), script) == 4 << 20


def test_kvikio_takes_a_task_that_is_larger_than_its_usual_bounce_buffer(tmp_path: Path) -> None:
    python = package_python("kvikio")
    file = tmp_path / "kvikio.env"
    file.write_text(render(kvikio.export(drive(), "/data", ExportOptions(request_bytes=32 << 20))))
    script = "import json, kvikio.defaults as d; print(json.dumps([d.get('task_size'), d.get('bounce_buffer_size')]))"
    assert answer(python, script, **sourced(file)) == [32 << 20, 32 << 20]
