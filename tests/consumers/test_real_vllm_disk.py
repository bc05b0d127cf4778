"""vLLM's SimpleCPUOffloadConnector with its disk backend: why there is no export for it.

Its blocks are moved between host and host memory here; the reads and writes of the file are vLLM's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consumers.packages import package_python
from consumers.scripts import answer

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import json, os, sys, threading, time
from types import SimpleNamespace
import torch
from vllm.v1.simple_kv_offload import disk_backend

class Event:
    def record(self, stream): pass
    def synchronize(self): pass

def copy(sources, targets, caches):
    for name, cache in caches[0].items():
        caches[1][name][targets] = cache[sources]

torch.Event = Event
disk_backend.current_platform = SimpleNamespace(set_device=lambda device: None)
disk_backend.pin_tensor = lambda tensor: None
disk_backend.build_params = lambda source, target, stream, src_access_order: (source, target)
disk_backend.copy_blocks = copy

lock, active, most, direct = threading.Lock(), {}, {}, []

def counted(function):
    name = function.__name__
    def wrapped(fd, buffers, offset):
        with lock:
            active[name] = active.get(name, 0) + 1
            most[name] = max(most.get(name, 0), active[name])
        time.sleep(0.002)  # as long as a drive takes
        moved = function(fd, buffers, offset)
        with lock:
            active[name] -= 1
        direct.append([bool(os.O_DIRECT & int(line.split()[1], 8)) for line in open(f"/proc/self/fdinfo/{fd}")
                       if line.startswith("flags")][0])
        return moved
    return wrapped

os.preadv, os.pwritev = counted(os.preadv), counted(os.pwritev)
blocks, size, slots = 32, 65536, int(sys.argv[2])
caches = {name: torch.randint(-128, 128, (blocks, size), dtype=torch.int8) for name in ("a", "b")}
sent = {name: cache.clone() for name, cache in caches.items()}
stream = SimpleNamespace(wait_event=lambda event: None)
backend = disk_backend.DiskBackend()
backend.init(caches, torch.device("cpu"), stream, stream, sys.argv[1], blocks, 2 * size, slots)
everything, done = list(range(blocks)), []
halves = (everything[:16], everything[16:])

def run(is_store):
    done.clear()
    for number, half in enumerate(halves):
        backend.launch_copy(half, half, is_store, number, done)
    while len(done) < 2:
        time.sleep(0.01)

run(True)
for cache in caches.values():
    cache.zero_()
run(False)
backend.shutdown()
print(json.dumps({
    "most": most,
    "direct": sorted(set(direct)),
    "same": all(torch.equal(caches[name], sent[name]) for name in caches),
}))
"""


@pytest.mark.parametrize("slots", [2, 8])
def test_one_request_is_in_flight_whatever_its_number_of_buffers_is(slots: int, tmp_path: Path) -> None:
    said: dict[str, Any] = answer(package_python("vllm"), SCRIPT, tmp_path / "kv.bin", str(slots))
    assert said["same"]
    assert said["most"] == {"preadv": 1, "pwritev": 1}
    assert said["direct"] == [True]
