"""Mooncake Store with the environment that we export, on a CPU: where it offloads to, and whether by io_uring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import mooncake
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import answer, sourced
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import json, os, socket, subprocess, sys, time
import mooncake
from mooncake.store import MooncakeDistributedStore

def port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]

def opened():
    for name in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink("/proc/self/fd/" + name)
        except FileNotFoundError:  # the listing's own
            pass

folder, server = sys.argv[1], port()
words = [os.path.join(os.path.dirname(mooncake.__file__), "mooncake_master"), f"--rpc_port={server}",
         f"--metrics_port={port()}", "--enable_offload=true"]
master = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    time.sleep(2)
    store = MooncakeDistributedStore()
    assert store.setup({"local_hostname": "127.0.0.1", "metadata_server": "P2PHANDSHAKE", "protocol": "tcp",
        "global_segment_size": str(64 << 20), "local_buffer_size": str(32 << 20),
        "master_server_addr": f"127.0.0.1:{server}", "enable_ssd_offload": "true"}) == 0
    data = os.urandom(4 << 20)
    assert store.put("key", data) == 0
    end = time.monotonic() + 60
    while not any(name.endswith(".meta") for name in os.listdir(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    sizes = [os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)]
    print(json.dumps({"largest": max(sizes, default=0), "ring": any("io_uring" in name for name in opened()),
                      "same": store.get("key") == data}), flush=True)
finally:
    master.kill()
os._exit(0)  # the store's threads have no end of their own
"""


@pytest.mark.parametrize(("concurrency", "ring"), [(24, True), (1, False)])
def test_mooncake_offloads_to_our_folder_by_our_engine(concurrency: int, ring: bool, tmp_path: Path) -> None:
    python = package_python("mooncake")
    folder, file = tmp_path / "cache", tmp_path / "mooncake.env"
    folder.mkdir()
    measured = drive(curves=(curve("io_uring", "read", {1 << 20: concurrency}),))
    file.write_text(render(mooncake.export(measured, str(folder), ExportOptions())))
    # One object makes a file, and soon.
    soon = {"MOONCAKE_OFFLOAD_BUCKET_KEYS_LIMIT": "1", "MOONCAKE_OFFLOAD_HEARTBEAT_INTERVAL_SECONDS": "1"}
    said: dict[str, Any] = answer(python, SCRIPT, folder, **sourced(file), **soon)
    assert said["largest"] >= 4 << 20
    assert said["ring"] == ring
    assert said["same"]
