"""vLLM with our plug-in, which it finds and calls itself, and the tier that it then makes, on a CPU."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from consumers.packages import PROJECT, package_python
from consumers.scripts import answer
from consumers.test_real_vllm import SCRIPT
from unit.support import own_drive
from unit.support.size_curves import curve

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pathlib import Path

# As each of its processes does, and once more, which vLLM says may happen.
LOAD = """
import vllm.plugins
for _ in range(2):
    vllm.plugins.plugins_loaded = False
    vllm.plugins.load_general_plugins()
"""
# The configuration after the tier was made, and what the tier was made with.
SAY = """
print(json.dumps({
    "extra": json.dumps(given.kv_connector_extra_config),
    "readers": sum(name.startswith("vllm_kv_py_fs_l") for name in names),
    "writers": sum(name.startswith("vllm_kv_py_fs_s") for name in names),
    "moved": [stored, loaded],
    "ours": "aio_tuned.integrations.vllm" in sys.modules,
}))
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with the names that an installation of ours has, from pyproject.toml, for vLLM to find."""
    groups = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    folder = tmp_path / "packages"
    information = folder / "aio_tuned-0.1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: aio-tuned\nVersion: 0.1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
        for group, named in groups.items()
    ]
    (information / "entry_points.txt").write_text("\n".join(lines))
    (folder / "aio_tuned").symlink_to(PROJECT / "daemon/aio_tuned")
    return folder


def tiers(tmp_path: Path, packages: Path, tier: dict[str, Any], **variables: str) -> tuple[str, dict[str, Any]]:
    """The configuration as it was given, and what vLLM says with that tier in it."""
    profiles = tmp_path / "profiles"
    # The chunks of the script have 1 MiB; those that the export assumes have 2 MiB.
    curves = (curve("psync", "read", {1 << 20: 11, 2 << 20: 7}), curve("psync", "write", {1 << 20: 5, 2 << 20: 3}))
    if not profiles.exists():
        own_drive.publish(tmp_path, profiles, curves=curves)
    extra = {
        "spec_name": "TieringOffloadingSpec",
        "cpu_bytes_to_use": 16 << 20,
        "secondary_tiers": [{"type": "fs", "root_dir": str(tmp_path / "cache"), **tier}],
    }
    file = tmp_path / "kv.json"
    connector = {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}
    file.write_text(json.dumps({**connector, "kv_connector_extra_config": extra}))
    environment = {"PYTHONPATH": str(packages), "AIO_TUNED_PROFILES": str(profiles), **variables}
    said = answer(package_python("vllm"), LOAD + SCRIPT + SAY, file, **environment)
    assert said["moved"] == [True, True]
    assert said["ours"]  # found by its entry point
    return json.dumps(extra), said


@pytest.mark.parametrize(
    ("given", "threads"),
    [({}, (11, 5)), ({"n_read_threads": 2}, (2, 5)), ({"n_read_threads": 2, "n_write_threads": 1}, (2, 1))],
)
def test_the_tier_has_the_drives_threads_where_the_user_gave_none(
    tmp_path: Path, packages: Path, given: dict[str, Any], threads: tuple[int, int]
) -> None:
    before, said = tiers(tmp_path, packages, given, AIO_TUNED_VLLM="1")
    assert (said["readers"], said["writers"]) == threads
    assert said["extra"] == before


def test_without_the_variable_vllm_has_its_own_and_the_configuration_is_byte_equal(
    tmp_path: Path, packages: Path
) -> None:
    before, said = tiers(tmp_path, packages, {}, AIO_TUNED_VLLM="")
    assert (said["readers"], said["writers"]) == (16, 16)
    assert said["extra"] == before


def test_with_a_torn_profile_vllm_has_its_own(tmp_path: Path, packages: Path) -> None:
    tiers(tmp_path, packages, {}, AIO_TUNED_VLLM="1")
    (file,) = (tmp_path / "profiles").iterdir()
    file.write_text(file.read_text()[:700])
    _, said = tiers(tmp_path, packages, {}, AIO_TUNED_VLLM="1")
    assert (said["readers"], said["writers"]) == (16, 16)
