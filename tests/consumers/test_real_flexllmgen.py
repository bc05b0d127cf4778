"""FlexLLMGen's own classes, and those of the DeepSpeed that it brings along, with our settings, on a CPU.

The lines of docs/how-to/flexllmgen.md are run as they stand there.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from consumers.packages import PROJECT, folder, package_python
from consumers.scripts import answer
from unit.support import own_drive
from unit.support.builders import setting
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.setting import Setting

MIB = 1 << 20
# torch removed this module in 2.0; DeepSpeed 0.7.7 takes one number from it.
OLD_TORCH = """
import json, math, os, sys, types, warnings
warnings.simplefilter("ignore")
sys.modules["torch._six"] = types.SimpleNamespace(inf=math.inf)
"""
# Its builder passes -std=c++14, which torch's present headers refuse; all else is its own.
OPERATOR = """
from deepspeed.ops.op_builder import AsyncIOBuilder
from torch.utils import cpp_extension

def operator():
    builder = AsyncIOBuilder()
    return cpp_extension.load(
        name="async_io_0_7_7",
        sources=[str(builder.deepspeed_src_path(file)) for file in builder.sources()],
        extra_include_paths=[str(builder.deepspeed_src_path(file)) for file in builder.include_paths()],
        extra_cflags=[flag for flag in builder.cxx_args() if not flag.startswith("-std=")],
        extra_ldflags=builder.extra_ldflags(),
    )
"""
# As hf_opt.py: its own dictionary, and then the lines of the patch.
CONFIGURATION = """
from deepspeed.runtime.config import DeepSpeedConfig

def configuration():
    ds_config = {"train_batch_size": 1, "aio": {
        "block_size": 1048576, "queue_depth": 8, "thread_count": 1, "single_submit": False, "overlap_events": True,
    }}
    exec(PATCH)
    return DeepSpeedConfig(ds_config).aio_config
"""
MOVE = """
import torch

target, size, offset = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

# The same bytes that far behind the start of a page, where the swappers' pinned memory begins.
def at_offset(data):
    room = torch.zeros(size + 8192, dtype=torch.uint8)
    start = -room.data_ptr() % 4096 + offset
    room[start : start + size] = data
    return room[start : start + size]

aio = configuration()
# As partitioned_param_swapper.py.
handle = operator().aio_handle(
    aio["block_size"], aio["queue_depth"], aio["single_submit"], aio["overlap_events"], aio["thread_count"]
)
data, back = at_offset(torch.randint(0, 256, (size,), dtype=torch.uint8)), at_offset(0)
written = handle.sync_pwrite(data, target)
file = os.path.exists(target) and open(target, "rb").read() == data.numpy().tobytes()
read = handle.sync_pread(back, target) if file else None
print(json.dumps({
    "handle": [
        handle.get_block_size(), handle.get_queue_depth(), handle.get_thread_count(),
        handle.get_single_submit(), handle.get_overlap_events(),
    ],
    "written": written, "file": file, "read": read, "same": torch.equal(data, back), "bytes": os.path.getsize(target),
}))
"""
# Its copy workers need a GPU from their first line on: in their place threads that only wait for their end.
DISK = """
import threading, types
import flexgen.pytorch_backend as backend
from experimental.cost_model import CostModelConfig
from flexgen.pytorch_backend import TorchDisk

def worker(queue, cuda_id):
    assert queue.get() is None
    queue.task_done()

backend.copy_worker_func = worker
args = types.SimpleNamespace(offload_dir=sys.argv[1])
before = threading.active_count()
exec(PATCH["disk"])
started = threading.active_count() - before
disk.close_copy_threads()
exec(PATCH["config"])
print(json.dumps([started, config.dtoc_bdw, config.ctod_bdw_cache_p, config.ctod_bdw_hidden_p, config.ctod_bdw_g]))
"""


def patch(beginning: str) -> str:
    """The code of the how-to that begins so."""
    text = (PROJECT / "docs/how-to/flexllmgen.md").read_text(encoding="utf-8")
    blocks = (
        textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    )
    (found,) = (block for block in blocks if block.startswith(beginning))
    return found


HELPER = patch("def aio_tuned")


def environment() -> dict[str, str]:
    """ninja has to be the same at each start: another release of it builds all again."""
    programs = package_python("flexllmgen").parent
    return {
        "TORCH_EXTENSIONS_DIR": str(folder() / "flexllmgen/ext"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }


def hf_opt(script: str) -> str:
    """A script with what the patched hf_opt.py has."""
    return f"{OLD_TORCH}{HELPER}\nPATCH = {patch('ds_config')!r}\n{CONFIGURATION}{script}"


def publish(tmp_path: Path, chosen: Setting) -> Path:
    """Profiles with that setting for both directions; a folder for the settings is tmp_path."""
    curves = (curve("psync", "read", {128 << 10: 6, MIB: 2}), curve("psync", "write", {128 << 10: 9, MIB: 4}))
    profiles = tmp_path / "profiles"
    own_drive.publish(tmp_path, profiles, combined=own_drive.combined(chosen), curves=curves)
    return profiles


def run(tmp_path: Path, script: str, *arguments: str | Path) -> Any:  # noqa: ANN401 - what it says
    """What the script says under `aio-tuned run`."""
    command = [sys.executable, "-m", "aio_tuned", "run", "--for", "flexllmgen", "--require", "--path", str(tmp_path)]
    command += ["--profiles", str(tmp_path / "profiles"), "--", str(package_python("flexllmgen")), "-c", script]
    variables = {**os.environ, **environment(), "PYTHONPATH": str(PROJECT / "daemon")}
    words = [*command, *map(str, arguments)]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def operator() -> None:
    """The operator is built at its first use, which takes minutes."""
    words = [str(package_python("flexllmgen")), "-c", f"{OLD_TORCH}{OPERATOR}\noperator()"]
    done = subprocess.run(words, env=os.environ | environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_the_patched_dictionary_has_our_settings_under_run_and_its_own_without(tmp_path: Path) -> None:
    publish(tmp_path, setting(block=256 << 10, depth=64, threads=4, overlap=False, single=True))
    script = hf_opt("print(json.dumps(configuration()))")
    assert run(tmp_path, script) == {
        "block_size": 256 << 10,
        "queue_depth": 64,
        "thread_count": 4,
        "single_submit": True,
        "overlap_events": False,
    }
    assert answer(package_python("flexllmgen"), script, **environment()) == {
        "block_size": MIB,
        "queue_depth": 8,
        "thread_count": 1,
        "single_submit": False,
        "overlap_events": True,
    }


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(
    "chosen",
    [
        *(
            setting(block=MIB, depth=8, threads=threads, overlap=overlap, single=single)
            for threads, (overlap, single) in zip((1, 2, 4, 2), itertools.product((True, False), repeat=2), strict=True)
        ),
        setting(block=128 << 10, depth=64, threads=4),
    ],
    ids=str,
)
def test_its_handle_takes_the_values_and_moves_every_byte(tmp_path: Path, chosen: Setting) -> None:
    publish(tmp_path, chosen)
    size = chosen.io_parallelism * (8 * MIB + 4096)
    said = run(tmp_path, hf_opt(OPERATOR + MOVE), tmp_path / "data", str(size), "0")
    values = [chosen.block_size, chosen.queue_depth, chosen.io_parallelism]
    assert said["handle"] == [*values, chosen.single_submit, chosen.overlap_events]
    assert said["file"]
    assert said["same"]


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize(("size", "offset", "stored"), [(8 * MIB, 64, 0), (100, 0, 0), (8 * MIB + 100, 0, 8 * MIB)])
def test_an_unaligned_tensor_is_lost_without_an_error(tmp_path: Path, size: int, offset: int, stored: int) -> None:
    """As the how-to warns; an aligned one is written whole in the test above."""
    publish(tmp_path, setting())
    said = run(tmp_path, hf_opt(OPERATOR + MOVE), tmp_path / "data", str(size), str(offset))
    assert (said["written"], said["file"], said["bytes"]) == (1, False, stored)


def test_its_disk_starts_our_copy_threads_and_its_cost_model_takes_the_rates(tmp_path: Path) -> None:
    publish(tmp_path, setting())
    patches = {name: patch(f"{name} = ") for name in ("disk", "config")}
    script = f"{OLD_TORCH}{HELPER}\nPATCH = {patches!r}\n{DISK}"
    # 97 % of 6 GB/s, and the figure of [write].
    assert run(tmp_path, script, tmp_path / "offload") == [6, 5_820_000_000, *[3_950_000_000] * 3]
    threads, *rates = answer(package_python("flexllmgen"), script, tmp_path / "offload", **environment())
    assert threads == 4
    assert rates[0] == pytest.approx(0.473 * (1 << 30))


# --- the hook of the process ------------------------------------------------------------------------------------

HOOKED = """
from aio_tuned.integrations import deepspeed as hook
from deepspeed.runtime.config import DeepSpeedConfig
offload = {"device": "nvme", "nvme_path": sys.argv[1]}
with hook.install():
    given = {"train_batch_size": 1, "zero_optimization": {"stage": 3, "offload_param": offload}}
    print(json.dumps(DeepSpeedConfig(given).aio_config))
"""


def test_the_hook_fills_what_hf_opt_leaves_out(tmp_path: Path) -> None:
    profiles = publish(tmp_path, setting(block=256 << 10, depth=64, threads=4))
    variables = {"PYTHONPATH": str(PROJECT / "daemon"), "AIO_TUNED_PROFILES": str(profiles)}
    aio = answer(package_python("flexllmgen"), OLD_TORCH + HOOKED, tmp_path / "new", **environment(), **variables)
    assert aio == {
        "block_size": 256 << 10,
        "queue_depth": 64,
        "thread_count": 4,
        "single_submit": False,
        "overlap_events": True,
    }
