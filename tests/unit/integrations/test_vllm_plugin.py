"""The plug-in of vLLM in a stand-in for vLLM, in processes of their own, and the real reader and profiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.integrations import vllm
from aio_tuned.integrations.vllm_tier import filled
from unit.support import own_drive
from unit.support.builders import PROJECT
from unit.support.consumer_settings import drive, settings
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aio_tuned.reader import DriveSettings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MIB = 1 << 20
FACTORY = """
class SecondaryTierFactory:
    @classmethod
    def create_secondary_tier(cls, tier_config, primary_kv_view, offloading_spec):
        return cls.__name__, tier_config, offloading_spec
"""
# As vLLM does it: plug-ins first, and the tiers later.
START = """
import json, sys
from aio_tuned.integrations.vllm import register
folder = sys.argv[1]
def tier(**changes):
    from vllm.v1.kv_offload.tiering.factory import SecondaryTierFactory
    given = {"type": "fs", "root_dir": folder, **changes}
    before = json.dumps(given)
    view = memoryview(bytes(2 << 20)).cast("B", (2, 1 << 20))
    made = SecondaryTierFactory.create_secondary_tier(given, view, offloading_spec="spec")
    assert json.dumps(given) == before
    return made
"""


class Stand:
    """A folder with a stand-in for vLLM, profiles, and a folder for the tier."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "new/tier"
        self.profiles = root / "profiles"
        self.packages = root / "packages"
        self.tiering = self.packages / "vllm/v1/kv_offload/tiering"
        self.tiering.mkdir(parents=True)
        for folder in (self.tiering, *self.tiering.parents[:3]):
            (folder / "__init__.py").touch()
        (self.tiering / "factory.py").write_text(FACTORY)

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(PROJECT / "daemon"), str(self.packages)))
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AIO_TUNED_")}
        environment = inherited | {"PYTHONPATH": path, "AIO_TUNED_PROFILES": str(self.profiles), **variables}
        words = [sys.executable, "-c", START + script, str(self.folder)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)

    def answer(self, script: str, **variables: str) -> Any:  # noqa: ANN401 - what it prints
        done = self.run(script, **variables)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    made = Stand(tmp_path)
    own_drive.publish(tmp_path, made.profiles, curves=DRIVE.curves)
    return made


@pytest.fixture
def threads(stand: Stand) -> dict[str, int]:
    """What the profile has for chunks of 1 MiB, by the export itself."""
    words = [sys.executable, "-m", "aio_tuned", "export", "vllm", str(stand.root), "--request-size", "1M"]
    path = os.environ | {"PYTHONPATH": str(PROJECT / "daemon")}
    said = subprocess.run(
        [*words, "--profiles", str(stand.profiles)], env=path, capture_output=True, text=True, check=True
    ).stdout
    (tier,) = json.loads(said)["kv_connector_extra_config"]["secondary_tiers"]
    return {key: tier[key] for key in ("n_read_threads", "n_write_threads")}


REGISTERED = "register()\nprint(json.dumps(tier()))"
ON = {"AIO_TUNED_VLLM": "1"}


def test_the_tier_gets_the_threads_for_its_own_chunks(stand: Stand, threads: dict[str, int]) -> None:
    tier = {"type": "fs", "root_dir": str(stand.folder), **threads}
    assert stand.answer(REGISTERED, **ON) == ["SecondaryTierFactory", tier, "spec"]


@pytest.mark.parametrize("value", [None, "", "0", "true"])
def test_without_the_variable_nothing_is_changed_or_imported(stand: Stand, value: str | None) -> None:
    script = """
finders, before = list(sys.meta_path), set(sys.modules)
register()
from vllm.v1.kv_offload.tiering import factory
untouched = factory.SecondaryTierFactory.create_secondary_tier.__func__.__module__ == factory.__name__
ours = [name for name in sys.modules if name.startswith("aio_tuned")]
print(json.dumps([tier(), finders == sys.meta_path, untouched, sorted(ours)]))
"""
    variables = {} if value is None else {"AIO_TUNED_VLLM": value}
    made, *same, ours = stand.answer(script, **variables)
    assert made[1] == {"type": "fs", "root_dir": str(stand.folder)}
    assert same == [True, True]
    assert ours == ["aio_tuned", "aio_tuned.integrations", "aio_tuned.integrations.vllm"]


@pytest.mark.parametrize("early", [True, False])
def test_a_second_call_adds_nothing(stand: Stand, threads: dict[str, int], early: bool) -> None:
    script = f"""
{"" if early else "from vllm.v1.kv_offload.tiering import factory"}
register()
once = list(sys.meta_path)
register()
same = once == sys.meta_path
made = tier()
register()
from vllm.v1.kv_offload.tiering import factory
method = factory.SecondaryTierFactory.create_secondary_tier.__func__
print(json.dumps([same, made[1], tier()[1], hasattr(method.__wrapped__, "__wrapped__")]))
"""
    tier = {"type": "fs", "root_dir": str(stand.folder), **threads}
    assert stand.answer(script, **ON) == [True, tier, tier, False]


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The one warning."""
    assert done.returncode == 0, done.stderr
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("aio-tuned: ")
    return warning


TWICE = "register()\nregister()\nprint(json.dumps([tier()[1], tier()[1]]))"


@pytest.mark.parametrize("text", [None, "", 'schema = 2\nstate = "mea', "schema = 99\n", "\0"])
def test_a_torn_or_missing_profile_is_one_warning(stand: Stand, text: str | None) -> None:
    (file,) = stand.profiles.iterdir()
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    done = stand.run(TWICE, **ON)
    assert json.loads(done.stdout) == [{"type": "fs", "root_dir": str(stand.folder)}] * 2
    warning = told(done)
    assert "fs tier is left as it is" in warning
    assert "ProfileError" not in warning


@pytest.mark.parametrize(
    "factory", ["", "class SecondaryTierFactory: pass\n", FACTORY.replace("@classmethod", "@staticmethod"), None]
)
def test_another_release_without_the_place_is_one_warning(stand: Stand, factory: str | None) -> None:
    if factory is None:
        (stand.tiering / "factory.py").unlink()
    else:
        (stand.tiering / "factory.py").write_text(factory)
    script = "register()\nregister()\ntry:\n    import vllm.v1.kv_offload.tiering.factory\nexcept ImportError: pass"
    assert "this release of vLLM has no " in told(stand.run(script, **ON))


def test_a_release_before_the_tiers_is_one_warning(stand: Stand) -> None:
    (stand.tiering / "factory.py").unlink()
    (stand.tiering / "__init__.py").unlink()
    (stand.tiering / "../__init__.py").resolve().unlink()
    stand.tiering.rmdir()
    assert "this release of vLLM has no " in told(stand.run("register()\nregister()", **ON))


def test_a_broken_installation_of_ours_is_one_warning(stand: Stand) -> None:
    script = "sys.modules['aio_tuned.consumers'] = None\nregister()"
    assert "ModuleNotFoundError" in told(stand.run(script, **ON))


def test_errors_of_vllm_are_its_own(stand: Stand) -> None:
    (stand.tiering / "factory.py").write_text(FACTORY.replace("return", "raise KeyError('of vLLM')\n        return"))
    done = stand.run(REGISTERED, **ON)
    assert done.returncode == 1
    assert "KeyError: 'of vLLM'" in done.stderr


def test_other_tiers_and_odd_configurations_reach_vllm_as_they_are(stand: Stand) -> None:
    script = """
register()
from vllm.v1.kv_offload.tiering.factory import SecondaryTierFactory
odd = [{"type": "obj", "root_dir": folder}, {"type": "fs"}, {}, None, 7, {"type": "fs", "root_dir": 7}]
same = [SecondaryTierFactory.create_secondary_tier(each, None, None)[1] is each for each in odd]
keyword = SecondaryTierFactory.create_secondary_tier(tier_config=odd[2], primary_kv_view=None, offloading_spec=None)
print(json.dumps([*same, keyword[1] == {}]))
"""
    done = stand.run(script, **ON)
    assert json.loads(done.stdout) == [True] * 7
    assert len(done.stderr.splitlines()) <= 3


# --- what is filled ---------------------------------------------------------------------------------------------

DRIVE = drive(
    read=settings(direction="read", saturating_concurrency=9),
    curves=(curve("psync", "read", {MIB: 12, 2 * MIB: 7}), curve("psync", "write", {MIB: 5, 2 * MIB: 3})),
)


def fill(tier: Mapping[str, Any], size: int | None = MIB, of: DriveSettings = DRIVE) -> Mapping[str, Any]:
    return filled(tier, size, lambda _: of)


TIER = {"type": "fs", "root_dir": "/data", "locality": "LOCAL"}


def test_the_size_of_a_chunk_decides_and_without_it_the_usual_one() -> None:
    assert fill(TIER) == {**TIER, "n_read_threads": 12, "n_write_threads": 5}
    assert fill(TIER, None) == {**TIER, "n_read_threads": 7, "n_write_threads": 3}


@pytest.mark.parametrize("given", [{"n_read_threads": 64}, {"n_write_threads": 64}, {"n_read_threads": None}])
def test_what_the_user_gave_stays(given: dict[str, int]) -> None:
    made = fill({**TIER, **given})
    assert made == {"n_read_threads": 12, "n_write_threads": 5, **TIER, **given}


def test_a_tier_that_lacks_nothing_is_the_same_and_no_profile_is_read() -> None:
    def refuse(path: str) -> DriveSettings:
        raise AssertionError(path)

    for tier in ({**TIER, "n_read_threads": 1, "n_write_threads": 1}, {**TIER, "type": "obj"}):
        assert filled(tier, MIB, refuse) is tier


# --- the entry point --------------------------------------------------------------------------------------------


def test_the_package_names_the_entry_point() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["vllm.general_plugins"] == {"aio_tuned": f"{vllm.__name__}:register"}


def test_it_is_imported_with_what_python_has_anyway_and_in_less_than_5_ms() -> None:
    """The quickest of five starts, because other processes only add to it."""
    script = """
import json, os, sys, time
before = set(sys.modules)
begin = time.perf_counter()
import aio_tuned.integrations.vllm
seconds = time.perf_counter() - begin
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""
    path = {"PYTHONPATH": str(PROJECT / "daemon"), "PATH": os.environ["PATH"]}
    words = [sys.executable, "-S", "-c", script]
    said = [
        json.loads(subprocess.run(words, env=path, capture_output=True, text=True, check=True).stdout) for _ in range(5)
    ]
    ours = ["aio_tuned", "aio_tuned.integrations", "aio_tuned.integrations.vllm"]
    assert all(set(modules) - {"__future__"} == set(ours) for _, modules in said)
    assert min(seconds for seconds, _ in said) < 0.005
