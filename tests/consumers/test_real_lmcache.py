"""LMCache's local disk with the YAML that we export, on a CPU: its configuration, its storage and its files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aio_tuned.consumers import lmcache
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import asyncio, json, os, sys, threading
import torch
from lmcache.utils import CacheEngineKey
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.memory_management import MemoryFormat
from lmcache.v1.metadata import LMCacheMetadata
from lmcache.v1.storage_backend import CreateStorageBackends

opened, real_open = [], os.open
def watched(path, flags, *rest, **more):
    if str(path).endswith(".pt"):
        opened.append(bool(flags & os.O_DIRECT))
    return real_open(path, flags, *rest, **more)
os.open = watched

config = LMCacheEngineConfig.from_file(sys.argv[1])
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
about = LMCacheMetadata("model", 1, 1, 0, 0, torch.bfloat16, (4, 2, 256, 8, 128), role="worker")
storage = CreateStorageBackends(config, about, loop, "cpu")
disk, shape = storage["LocalDiskBackend"], torch.Size((2, 4, 256, 1024))
chunk = storage["LocalCPUBackend"].allocate(shape, torch.bfloat16, MemoryFormat.KV_2LTD)
chunk.tensor.copy_(torch.randn(shape).to(torch.bfloat16))
sent, stored, key = chunk.tensor.clone(), threading.Event(), CacheEngineKey("model", 1, 0, 1234, torch.bfloat16)
disk.submit_put_task(key, chunk, lambda key: stored.set())
assert stored.wait(30)
back = disk.get_blocking(key)
print(json.dumps({
    "readers": disk._read_thread_pool._max_workers,
    "writers": disk.disk_worker.executor.max_workers,
    "direct": opened,
    "same": torch.equal(back.tensor, sent),
}), flush=True)
os._exit(0)  # its threads have no end of their own
"""


def test_lmcache_runs_as_many_threads_as_we_export_and_goes_past_the_page_cache(tmp_path: Path) -> None:
    python = package_python("lmcache")
    folder, file = tmp_path / "cache", tmp_path / "lmcache.yaml"
    measured = drive(curves=(curve("psync", "read", {4 << 20: 7}), curve("psync", "write", {4 << 20: 3})))
    ours = lmcache.export(measured, str(folder), ExportOptions(request_bytes=4 << 20))
    # As a person would: the export, and then what it says is theirs to choose.
    file.write_text(f"{render(ours)}\nlocal_disk: {folder}\nmax_local_disk_size: 1\nmax_local_cpu_size: 0.125\n")
    said: dict[str, Any] = answer(python, SCRIPT, file)
    assert (said["readers"], said["writers"]) == (7, 7)
    assert said["direct"] == [True, True]  # a write and a read
    assert said["same"]
    assert [entry.stat().st_size for entry in os.scandir(folder)] == [4 << 20]
