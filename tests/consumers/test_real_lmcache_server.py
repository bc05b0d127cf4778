"""LMCache's multiprocess server with the --l2-adapter that we export, on a CPU: options, adapters and data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import lmcache_server
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
# The server's own options and adapters, and the objects of `lmcache bench l2`. A store that bypasses the page cache
# leaves no page of the file in it.
SCRIPT = """
import ctypes, json, mmap, os, sys
from pathlib import Path
import torch
from lmcache.cli.commands.bench.l2_adapter_bench import data
from lmcache.v1.distributed.config import get_arg_parser
from lmcache.v1.distributed.l2_adapters.config import parse_args_to_l2_adapters_config
from lmcache.v1.distributed.l2_adapters.factory import create_l2_adapter_from_registry

def threads():
    return len(os.listdir("/proc/self/task"))

def rings():
    found = []
    for fd in range(256):
        if os.path.exists(f"/proc/self/fd/{fd}") and "io_uring" in os.readlink(f"/proc/self/fd/{fd}"):
            lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
            found += [int(line.split()[1], 0) + 1 for line in lines if line.startswith("SqMask:")]
    return found

def cached(file):
    size = os.path.getsize(file)
    with open(file, "r+b") as opened, mmap.mmap(opened.fileno(), size) as pages:
        seen = (ctypes.c_ubyte * (size // mmap.PAGESIZE))()
        at = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), seen) == 0
        return sum(page & 1 for page in seen)

def finished(fd, ask):
    while not (answer := ask()):
        assert data.wait_eventfd(fd, 30)
    return answer

size, count = 1 << 20, 8
options = get_arg_parser().parse_args(["--l1-size-gb", "1", "--eviction-policy", "LRU", "--l2-adapter", sys.argv[1]])
(config,) = parse_args_to_l2_adapters_config(options).adapters
memory = data.make_aligned_tensor(2 * size * count, 4096)
before = threads()
adapter = create_l2_adapter_from_registry(config, data.create_l1_memory_desc(memory, 4096))
started = threads() - before
keys = data.make_object_keys(count)
stored, loaded = (data.make_memory_objects(memory, count, size, at, fill) for at, fill in ((0, 7), (size * count, 99)))
adapter.submit_store_task(keys, stored)
finished(adapter.get_store_event_fd(), adapter.pop_completed_store_tasks)
left = [cached(file) for file in Path(sys.argv[2]).rglob("*.data")]
number = adapter.submit_load_task(keys, loaded)
bits = finished(adapter.get_load_event_fd(), lambda: adapter.query_load_result(number))
print(json.dumps({
    "type": type(config).__name__,
    "started": started,
    "rings": rings(),
    "loaded": bits.popcount(),
    "same": data.verify_round_trip(keys, stored, loaded, lambda text: None),
    "cached": left,
}), flush=True)
os._exit(0)  # its threads have no end of their own
"""
DRIVE = drive(
    curves=(
        curve("psync", "read", {MIB: 7}),
        curve("psync", "write", {MIB: 3}),
        curve("io_uring", "read", {MIB: 9}),
        curve("io_uring", "write", {MIB: 16}),
    )
)
OPTIONS = ExportOptions(request_bytes=MIB)


def ran(adapter: str, folder: Path) -> dict[str, Any]:
    """Store and load objects by an adapter, and return what there is of it in the process and in the folder."""
    said: dict[str, Any] = answer(package_python("lmcache"), SCRIPT, adapter, folder)
    assert said["loaded"] == 8
    assert said["same"]
    return said


def test_files_are_moved_by_as_many_threads_as_we_export_past_the_page_cache(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    said = ran(render(lmcache_server.export(DRIVE, str(folder), OPTIONS)), folder)
    assert said["type"] == "FSNativeL2AdapterConfig"
    assert said["started"] == 7 + 1  # and one that waits for them
    assert said["cached"] == [0] * 8


def test_the_servers_own_are_fewer_threads_and_the_page_cache(tmp_path: Path) -> None:
    said = ran(json.dumps({"type": "fs_native", "base_path": str(tmp_path / "cache")}), tmp_path / "cache")
    assert said["started"] == 4 + 1
    assert said["cached"] == [MIB // 4096] * 8


def test_slots_are_moved_by_a_ring_of_the_depth_that_we_export(tmp_path: Path) -> None:
    # As a person would: the export, and then what it says that the server needs besides.
    config = json.loads(render(lmcache_server.export(DRIVE, "/dev/nvme0n1", OPTIONS)))
    with pytest.raises(AssertionError, match="slot_bytes must be a positive integer"):
        ran(json.dumps(config), tmp_path / "nothing")
    device = tmp_path / "device"
    with device.open("wb") as file:
        file.truncate(512 * MIB)
    said = ran(json.dumps(config | {"device_path": str(device), "slot_bytes": MIB + 4096}), tmp_path / "nothing")
    assert said["type"] == "RawBlockL2AdapterConfig"
    assert said["rings"] == [16]
