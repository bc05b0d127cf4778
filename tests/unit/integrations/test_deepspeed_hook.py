"""The hook in a stand-in for DeepSpeed, in a process of its own, and the real reader and profiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.errors import UsageError
from aio_tuned.integrations.deepspeed import install
from unit.support import own_drive
from unit.support.builders import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

AIO_CONFIG = """
def get_aio_config(param_dict):
    return param_dict.get("aio")
"""
CONFIG = """
from .swap_tensor.aio_config import get_aio_config

class DeepSpeedConfig:
    def __init__(self, config):
        self.aio_config = get_aio_config(config)
"""
# As a user's script: what DeepSpeed gets for a folder that is not there yet.
START = """
import json, sys
folder = sys.argv[-1]
def offloaded():
    return {"zero_optimization": {"offload_param": {"device": "nvme", "nvme_path": folder}}}
def aio():
    from deepspeed.runtime.config import DeepSpeedConfig
    return DeepSpeedConfig(offloaded()).aio_config
"""
OURS = {
    "block_size": 1 << 20,
    "queue_depth": 16,
    "intra_op_parallelism": 1,
    "single_submit": False,
    "overlap_events": True,
}


class Stand:
    """A folder with a stand-in for DeepSpeed, profiles, and a folder to offload to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.profiles = root / "profiles"
        self.packages = root / "packages"
        runtime = self.packages / "deepspeed/runtime"
        (runtime / "swap_tensor").mkdir(parents=True)
        for folder in (runtime.parent, runtime, runtime / "swap_tensor"):
            (folder / "__init__.py").touch()
        (runtime.parent / "__init__.py").write_text('__version__ = "0.19.8+unknown"\n')
        (runtime / "swap_tensor/aio_config.py").write_text(AIO_CONFIG)
        (runtime / "config.py").write_text(CONFIG)

    def run(self, script: str, *before: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(PROJECT / "daemon"), str(self.packages)))
        environment = os.environ | {"PYTHONPATH": path, "AIO_TUNED_PROFILES": str(self.profiles)}
        file = self.root / "script.py"
        file.write_text(START + script)
        words = [sys.executable, *before, str(file), "--own", str(self.root / "new/folder")]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def answer(self, script: str, *before: str) -> Any:  # noqa: ANN401 - what it prints
        done = self.run(script, *before)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    made = Stand(tmp_path)
    own_drive.publish(tmp_path, made.profiles)
    return made


INSTALL = "from aio_tuned.integrations import deepspeed as hook\n"
AS_MODULE = ("-m", "aio_tuned.integrations.deepspeed")


@pytest.mark.parametrize("early", [True, False])
def test_a_script_that_installs_the_hook_gets_the_drives_values(stand: Stand, early: bool) -> None:
    imported = "import deepspeed.runtime.config\n"
    lines = [INSTALL + "hook.install()\n", imported] if early else [imported, INSTALL + "hook.install()\n"]
    assert stand.answer("".join(lines) + "print(json.dumps(aio()))") == OURS


def test_the_hook_imports_no_framework_by_itself(stand: Stand) -> None:
    script = INSTALL + "hook.install()\nprint(json.dumps([name for name in sys.modules if name == 'deepspeed']))"
    assert stand.answer(script) == []


def test_it_holds_until_the_last_context_ends_and_then_nothing_is_left(stand: Stand) -> None:
    script = f"""{INSTALL}
from deepspeed.runtime import config
from deepspeed.runtime.swap_tensor import aio_config
own, finders = config.get_aio_config, list(sys.meta_path)
with hook.install(max_block_size=65536):
    kept = config.get_aio_config
    with hook.install():
        inner = aio()
    outer = aio()
said = [inner["block_size"], outer["block_size"], aio(), kept(offloaded()), config.get_aio_config is own]
print(json.dumps([*said, aio_config.get_aio_config is own, sys.meta_path == finders]))
"""
    assert stand.answer(script) == [1 << 20, 65536, None, None, True, True, True]


def test_a_script_started_by_the_module_runs_as_python_runs_it(stand: Stand) -> None:
    (stand.root / "beside.py").write_text("here = True\n")
    script = "import beside\nprint(json.dumps([aio(), __name__, sys.argv[1:-1], sys.argv[0] == __file__]))"
    assert stand.answer(script, *AS_MODULE) == [OURS, "__main__", ["--own"], True]
    said = stand.answer(script, *AS_MODULE, "--local_rank=3")
    assert said == [OURS, "__main__", ["--local_rank=3", "--own"], True]


def test_a_script_that_installs_it_too_has_one_hook(stand: Stand) -> None:
    script = f"""{INSTALL}
from deepspeed.runtime import config
with hook.install():
    both = [aio(), hasattr(config.get_aio_config.__wrapped__, "__wrapped__")]
print(json.dumps([*both, aio()]))
"""
    assert stand.answer(script, *AS_MODULE) == [OURS, False, OURS]


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_the_scripts(stand: Stand, code: int) -> None:
    assert stand.run(f"sys.exit({code})", *AS_MODULE).returncode == code


def test_without_a_script_the_usage_is_told(stand: Stand) -> None:
    words = [sys.executable, *AS_MODULE]
    for arguments, code, text in (((), 64, "usage: "), (("none.py",), 66, "none.py: no such file")):
        done = subprocess.run(
            [*words, *arguments],
            env=os.environ | {"PYTHONPATH": str(PROJECT / "daemon")},
            cwd=stand.root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(text)


TWICE = INSTALL + "hook.install()\nprint(json.dumps([aio(), aio()]))"


@pytest.mark.parametrize(
    ("text", "said"), [(None, "no profile in"), ('schema = 2\nstate = "mea', ""), ("schema = 99\n", "")]
)
def test_without_a_good_profile_deepspeed_runs_as_it_would_with_one_warning(
    stand: Stand, text: str | None, said: str
) -> None:
    (file,) = stand.profiles.iterdir()
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    done = stand.run(TWICE)
    assert (done.returncode, json.loads(done.stdout)) == (0, [None, None])
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("DeepSpeed's aio: left as it is: ")
    assert (said or str(file)) in warning
    assert "ProfileError" not in warning


def test_a_release_without_the_function_runs_as_it_would_with_one_warning(stand: Stand) -> None:
    runtime = stand.packages / "deepspeed/runtime"
    (runtime / "swap_tensor/aio_config.py").write_text("class AioConfig: pass\n")
    lines = ("from .swap_tensor import aio_config", "class DeepSpeedConfig:", "    aio_config = 7")
    (runtime / "config.py").write_text("\n".join((*lines, "    def __init__(self, _): pass")))
    done = stand.run(TWICE)
    assert json.loads(done.stdout) == [7, 7]
    (warning,) = done.stderr.splitlines()
    assert "has no get_aio_config() in this release" in warning


@pytest.mark.parametrize("version", ["main", "0.3.14"])
def test_a_release_that_is_unknown_or_too_old_runs_as_it_would(stand: Stand, version: str) -> None:
    (stand.packages / "deepspeed/__init__.py").write_text(f"__version__ = {version!r}\n")
    done = stand.run(TWICE)
    assert json.loads(done.stdout) == [None, None]
    assert len(done.stderr.splitlines()) == 1


def test_a_configuration_that_deepspeed_refuses_reaches_it_unchanged(stand: Stand) -> None:
    script = INSTALL + (
        "hook.install()\nfrom deepspeed.runtime.config import DeepSpeedConfig\n"
        "given = {**offloaded(), 'aio': {'block_size': '1M'}}\n"
        "print(json.dumps(DeepSpeedConfig(given).aio_config))"
    )
    done = stand.run(script)
    assert json.loads(done.stdout) == {"block_size": "1M"}
    assert len(done.stderr.splitlines()) == 1


def test_a_limit_below_the_smallest_block_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="below the smallest block"):
        install(max_block_size=512)
