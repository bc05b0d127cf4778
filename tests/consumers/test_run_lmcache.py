"""LMCache, started by `aio-tuned run`: its own way of finding its configuration leads to our numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumers.packages import package_python
from consumers.started import started
from consumers.test_real_lmcache import SCRIPT
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

CURVES = (curve("psync", "read", {4 << 20: 7}), curve("psync", "write", {4 << 20: 3}))
# As LMCache finds it: the file of LMCACHE_CONFIG_FILE, then the variables LMCACHE_...
FROM_FILE = "LMCacheEngineConfig.from_file(sys.argv[1])"
FOUND = "__import__('lmcache.v1.config').v1.config.load_engine_config_with_overrides()"
TELL = """
import json
from lmcache.v1.config import load_engine_config_with_overrides

config = load_engine_config_with_overrides()
print(json.dumps([config.chunk_size, config.local_disk, config.extra_config]))
"""


def test_lmcache_runs_our_threads_with_the_file_that_its_user_wrote(tmp_path: Path) -> None:
    assert FROM_FILE in SCRIPT
    own, cache = tmp_path / "own.yaml", tmp_path / "cache"
    text = f"local_disk: {cache} # the user's\nmax_local_disk_size: 1\nmax_local_cpu_size: 0.125\n"
    own.write_text(text)
    script = SCRIPT.replace(FROM_FILE, FOUND)
    said: dict[str, Any]
    said, line = started(tmp_path, CURVES, package_python("lmcache"), script, LMCACHE_CONFIG_FILE=str(own))
    assert (said["readers"], said["writers"]) == (7, 7)
    assert said["direct"] == [True, True]
    assert said["same"]
    assert own.read_text() == text
    assert "LMCACHE_CONFIG_FILE" in line


def test_a_value_in_the_users_file_stays(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("chunk_size: 128\nextra_config:\n  disk_io_threads: 2\n")
    said, line = started(tmp_path, CURVES, package_python("lmcache"), TELL, LMCACHE_CONFIG_FILE=str(own))
    assert said == [128, None, {"disk_io_threads": 2, "use_odirect": True}]
    assert line.endswith("; kept extra_config.disk_io_threads")


def test_lmcache_without_a_file_takes_its_users_variables_beside_ours(tmp_path: Path) -> None:
    variables = {"LMCACHE_CHUNK_SIZE": "64", "LMCACHE_LOCAL_DISK": "/data"}
    said, _ = started(tmp_path, CURVES, package_python("lmcache"), TELL, **variables)
    assert said == [64, "/data", {"disk_io_threads": 7, "use_odirect": True}]


def test_lmcache_with_a_variable_for_the_whole_table_keeps_it(tmp_path: Path) -> None:
    table = '{"disk_io_threads": 5}'
    said, line = started(tmp_path, CURVES, package_python("lmcache"), TELL, LMCACHE_EXTRA_CONFIG=table)
    assert said[2] == {"disk_io_threads": 5}
    assert line.endswith("; kept LMCACHE_EXTRA_CONFIG")
