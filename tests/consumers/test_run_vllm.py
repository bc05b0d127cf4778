"""vLLM, started by `aio-tuned run`: its plugin, which that turns on, gives the tier our threads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from consumers.packages import package_python
from consumers.started import started
from consumers.test_real_vllm import SCRIPT
from consumers.test_real_vllm_plugin import LOAD, SAY, packages
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["packages"]  # a fixture


def test_the_tier_has_our_threads(tmp_path: Path, packages: Path) -> None:
    python, file = package_python("vllm"), tmp_path / "kv.json"
    extra = {
        "spec_name": "TieringOffloadingSpec",
        "cpu_bytes_to_use": 16 << 20,
        "secondary_tiers": [{"type": "fs", "root_dir": str(tmp_path / "cache")}],
    }
    connector = {"kv_connector": "OffloadingConnector", "kv_role": "kv_both"}
    file.write_text(json.dumps({**connector, "kv_connector_extra_config": extra}))
    # The chunks of the script have 1 MiB.
    curves = (curve("psync", "read", {1 << 20: 11}), curve("psync", "write", {1 << 20: 5}))
    find = f"import sys\nsys.path.insert(0, {str(packages)!r})\n"
    said, line = started(tmp_path, curves, python, find + LOAD + SCRIPT + SAY, file)
    assert (said["readers"], said["writers"]) == (11, 5)
    assert said["moved"] == [True, True]
    assert said["ours"]
    assert "AIO_TUNED_VLLM" in line
