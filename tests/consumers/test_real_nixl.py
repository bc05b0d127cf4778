"""NIXL's POSIX plugin with the parameters that we export, on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.consumers import nixl
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from consumers.packages import package_python
from consumers.scripts import RINGS, answer
from unit.support.consumer_settings import drive, settings
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.reader import DriveSettings

SCRIPT = (
    RINGS
    + """
import ctypes, json, os, sys, tomllib
from pathlib import Path
from nixl._api import nixl_agent, nixl_agent_config

parameters = tomllib.loads(Path(sys.argv[1]).read_text())["POSIX"]
agent = nixl_agent("tester", nixl_agent_config(backends=[]))
unknown = sorted(set(parameters) - set(agent.get_plugin_params("POSIX")))
before = rings()
agent.create_backend("POSIX", parameters)
ring = rings() - before

size, count = 65536, 300
data = ctypes.create_string_buffer(os.urandom(size * count), size * count)
back = ctypes.create_string_buffer(size * count)
file = os.open(sys.argv[2], os.O_CREAT | os.O_RDWR, 0o600)
agent.register_memory([(ctypes.addressof(buffer), size * count, 0, "") for buffer in (data, back)], "DRAM", ["POSIX"])
agent.register_memory([(0, size * count, file, "")], "FILE", ["POSIX"])

def move(operation, buffer):
    pieces = range(0, size * count, size)
    memory = agent.get_xfer_descs([(ctypes.addressof(buffer) + at, size, 0) for at in pieces], "DRAM")
    storage = agent.get_xfer_descs([(at, size, file) for at in pieces], "FILE")
    handle = agent.initialize_xfer(operation, memory, storage, "tester", backends=["POSIX"])
    state = agent.transfer(handle)
    while state == "PROC":
        state = agent.check_xfer_state(handle)
    return state

states = [move("WRITE", data), move("READ", back)]
print(json.dumps({
    "unknown": unknown,
    "ring": ring,
    "rings": {wanted: ring_of(int(wanted)) for wanted in sys.argv[3:]},
    "states": states,
    "written": Path(sys.argv[2]).read_bytes() == data.raw,
    "read": back.raw == data.raw,
}))
"""
)

CREATE = """
import json, sys, tomllib
from pathlib import Path
from nixl._api import nixl_agent, nixl_agent_config

parameters = tomllib.loads(Path(sys.argv[1]).read_text())["POSIX"]
try:
    nixl_agent("tester", nixl_agent_config(backends=[])).create_backend("POSIX", parameters)
    print(json.dumps("taken"))
except Exception as error:
    print(json.dumps(type(error).__name__))
"""


@pytest.mark.parametrize(
    ("given", "queue"),
    [
        (drive(curves=(curve("io_uring", "read", {1 << 20: 48}), curve("io_uring", "write", {1 << 20: 512}))), 512),
        (drive(combined=settings(queue_depth=4, io_parallelism=2)), 16),
        (drive(combined=settings(queue_depth=128, io_parallelism=64)), 1024),
    ],
    ids=("curve", "shortest", "longest"),
)
def test_transfers_go_through_a_queue_of_the_size_that_we_export(
    tmp_path: Path, given: DriveSettings, queue: int
) -> None:
    python = package_python("nixl")
    ours = nixl.export(given, "/data", ExportOptions())
    file = tmp_path / "posix.toml"
    file.write_text(render(ours))
    said: dict[str, Any] = answer(python, SCRIPT, file, tmp_path / "data", str(queue), "256")
    assert said["unknown"] == []
    assert said["ring"] == said["rings"][str(queue)] != said["rings"]["256"]  # 256 is NIXL's own
    assert said["states"] == ["DONE", "DONE"]
    assert said["written"]
    assert said["read"]


def test_nixl_takes_one_engine_and_no_two(tmp_path: Path) -> None:
    python = package_python("nixl")
    file = tmp_path / "posix.toml"
    file.write_text(render(nixl.export(drive(), "/data", ExportOptions())))
    assert answer(python, CREATE, file) == "taken"
    file.write_text('[POSIX]\nuse_uring = "true"\nuse_aio = "true"\n')
    assert answer(python, CREATE, file) == "nixlBackendError"  # why all three are exported


@pytest.mark.parametrize(("value", "error"), [('"deep"', "nixlBackendError"), ("32", "TypeError")])
def test_nixl_reads_the_parameter_and_takes_nothing_but_a_string_of_a_number(
    tmp_path: Path, value: str, error: str
) -> None:
    python = package_python("nixl")
    good = render(nixl.export(drive(), "/data", ExportOptions()))
    assert 'kernel_queue_size = "32"' in good
    file = tmp_path / "posix.toml"
    file.write_text(good.replace('kernel_queue_size = "32"', f"kernel_queue_size = {value}"))
    assert answer(python, CREATE, file) == error
