"""DeepSpeed with our hook in its own process, on a CPU: its configuration, its launcher, an engine's handles."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from consumers.packages import PROJECT, package_python
from consumers.scripts import answer
from consumers.test_real_deepspeed import environment, operator  # noqa: F401 - a fixture
from unit.support import own_drive
from unit.support.builders import setting

if TYPE_CHECKING:
    from pathlib import Path

CHOSEN = setting(block=256 << 10, depth=24, threads=2, overlap=False, single=True)
OURS = {
    "block_size": 256 << 10,
    "queue_depth": 24,
    "intra_op_parallelism": 2,
    "single_submit": True,
    "overlap_events": False,
}
DEFAULTS = {
    "block_size": 1 << 20,
    "queue_depth": 8,
    "intra_op_parallelism": 1,
    "single_submit": False,
    "overlap_events": True,
    "use_gds": False,
}
CONFIGURATION = """
import json, sys
from deepspeed.runtime.config import DeepSpeedConfig

def aio(**keys):
    offload = {"device": "nvme", "nvme_path": sys.argv[-1]}
    given = {"train_batch_size": 1, "zero_optimization": {"stage": 3, "offload_param": offload}, **keys}
    return DeepSpeedConfig(given).aio_config
"""
INSTALLED = f"""
from aio_tuned.integrations import deepspeed as hook
{CONFIGURATION}
with hook.install():
    said = [aio(), aio(aio={{"queue_depth": 3, "use_gds": False}})]
print(json.dumps([*said, aio()]))
"""
SCRIPT = CONFIGURATION + "print('SAID', json.dumps([aio(), sys.argv[1:-1]]))\n"
# The parameters of a layer go to the drive and come back, as zero.Init() and a forward pass move them.
ENGINE = """
import json, os, sys
from aio_tuned.integrations import deepspeed as hook
hook.install()
import torch, deepspeed

os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=sys.argv[2])
offload = {"device": "nvme", "nvme_path": sys.argv[1], "buffer_size": 4 << 20}
given = {"train_batch_size": 1, "zero_optimization": {"stage": 3, "offload_param": offload}}
deepspeed.init_distributed("gloo")
with deepspeed.zero.Init(config_dict_or_path=given):
    layer = torch.nn.Linear(1024, 1024, bias=False)
handles = [layer.weight.nvme_swapper.aio_read_handle, layer.weight.nvme_swapper.aio_write_handle]
files = [os.path.join(folder, name) for folder, _, names in os.walk(sys.argv[1]) for name in names]
with deepspeed.zero.GatheredParameters([layer.weight]):
    stored = torch.from_file(files[0], size=1 << 20, dtype=layer.weight.dtype)
    same = torch.equal(layer.weight.flatten(), stored) and bool(stored.abs().sum() > 0)
print(json.dumps([
    [
        [
            handle.get_block_size(), handle.get_queue_depth(), handle.get_intra_op_parallelism(),
            handle.get_single_submit(), handle.get_overlap_events(),
        ]
        for handle in handles
    ],
    [os.path.getsize(file) for file in files],
    same,
]))
"""


@pytest.fixture
def free_port() -> int:
    """A port for the group of processes, which has one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """DeepSpeed's environment, with our package and a profile of the drive that tmp_path is on."""
    combined = own_drive.combined(CHOSEN)
    own_drive.publish(tmp_path, tmp_path / "profiles", combined=combined)
    path = str(PROJECT / "daemon")
    return {**environment(), "PYTHONPATH": path, "AIO_TUNED_PROFILES": str(tmp_path / "profiles")}


def test_its_configuration_has_ours_where_the_user_left_them_out(tmp_path: Path, variables: dict[str, str]) -> None:
    filled, partly, after = answer(package_python("deepspeed"), INSTALLED, tmp_path / "new", **variables)
    assert filled == {**OURS, "use_gds": False}
    assert partly == {**OURS, "queue_depth": 3, "use_gds": False}
    assert after == DEFAULTS


@pytest.mark.parametrize("launched", [False, True])
def test_a_script_is_started_with_it_by_python_and_by_deepspeeds_launcher(
    tmp_path: Path, variables: dict[str, str], launched: bool
) -> None:
    python = package_python("deepspeed")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    module = "aio_tuned.integrations.deepspeed"
    start = [str(python), "-m", module]
    if launched:
        start = [str(python.parent / "deepspeed"), "--num_accelerators", "1", "--module", module]
    words = [*start, str(script), "--own", str(tmp_path)]
    done = subprocess.run(words, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=240)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("SAID"))
    aio, arguments = json.loads(line.removeprefix("SAID"))
    assert aio == {**OURS, "use_gds": False}
    assert arguments == (["--local_rank=0", "--own"] if launched else ["--own"])


@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("operator")
def test_the_handles_of_zero_offload_have_ours_and_the_parameters_come_back(
    tmp_path: Path, variables: dict[str, str], free_port: int
) -> None:
    folder = tmp_path / "swapped"
    said: Any = answer(package_python("deepspeed"), ENGINE, folder, str(free_port), **variables)
    handles, sizes, same = said
    assert handles == [list(OURS.values())] * 2
    assert sizes == [4 << 20]
    assert same
