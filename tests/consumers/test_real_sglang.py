"""SGLang's NIXL storage with the file that we export, on a CPU: its configuration, its backend and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aio_tuned.consumers import sglang
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import RINGS, answer
from unit.support.consumer_settings import drive
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

# tomllib.load is what SGLang does with an @FILE.toml; the module that does it needs a GPU's packages to be imported.
SCRIPT = (
    RINGS
    + """
import ctypes, json, mmap, os, sys, tomllib
from nixl._api import nixl_agent, nixl_agent_config
from sglang.srt.mem_cache.storage.nixl.nixl_registry import NixlRegistry
from sglang.srt.mem_cache.storage.nixl.nixl_utils import NixlBackendConfig, NixlBackendSelection, NixlFileManager

with open(sys.argv[1], "rb") as file:
    config = NixlBackendConfig(tomllib.load(file))
plugin = config.get_specified_plugin()
agent = nixl_agent("tester", nixl_agent_config(backends=[]))
selection = NixlBackendSelection(plugin, config)
before = rings()
assert selection.create_backend(agent)
ring = rings() - before
direct = config.get_use_direct_io()
files = NixlFileManager(os.environ["SGLANG_HICACHE_NIXL_BACKEND_STORAGE_DIR"], use_direct_io=direct)
registry = NixlRegistry(agent, selection.mem_type, files)

size = 1 << 20
memory = mmap.mmap(-1, 2 * size)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
data = os.urandom(size)
memory[:size] = data
agent.register_memory([(address, 2 * size, 0, "")], "DRAM")
page = files.get_file_path("page")

def move(operation, buffer):
    host = agent.get_xfer_descs([(*buffer, 0)], "DRAM")
    with registry.storage([buffer], [page], operation) as storage:
        handle = agent.initialize_xfer(operation, host, storage, "tester")
        state = agent.transfer(handle)
        while state == "PROC":
            state = agent.check_xfer_state(handle)
        return state

states = [move("WRITE", (address, size)), move("READ", (address + size, size))]
print(json.dumps({
    "plugin": plugin,
    "direct": direct,
    "parameters": agent.get_backend_params(plugin),
    "ring": ring,
    "rings": {wanted: ring_of(int(wanted)) for wanted in sys.argv[2:]},
    "states": states,
    "written": open(page, "rb").read() == data,
    "read": memory[size:] == data,
}))
"""
)


def test_sglang_makes_a_backend_with_our_queue_and_stores_pages(tmp_path: Path) -> None:
    python = package_python("sglang")
    one = drive(curves=(curve("io_uring", "read", {4 << 20: 512}),))
    file, folder = tmp_path / "nixl.toml", tmp_path / "cache"
    file.write_text(render(sglang.export(one, str(folder), ExportOptions())))
    # What the variables say is weaker than what the file says.
    said: dict[str, Any] = answer(
        python,
        SCRIPT,
        file,
        "512",
        "256",
        SGLANG_HICACHE_NIXL_BACKEND_STORAGE_DIR=str(folder),
        SGLANG_HICACHE_NIXL_BACKEND_PLUGIN="OBJ",
        SGLANG_HICACHE_NIXL_USE_DIRECT_IO="0",
    )
    assert said["plugin"] == "POSIX"
    assert said["direct"] is True
    assert said["parameters"]["use_aio"] == "true"
    assert said["ring"] == said["rings"]["512"] != said["rings"]["256"]  # 256 is NIXL's own
    assert said["states"] == ["DONE", "DONE"]
    assert said["written"]
    assert said["read"]
