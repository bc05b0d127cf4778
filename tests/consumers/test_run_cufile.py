"""cuFile, started by `aio-tuned run` without any configuration: it starts, and reports our values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumers.packages import package_python
from consumers.started import started
from consumers.stubs import library
from consumers.test_real_cufile import NO_MODULES, SCRIPT
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path


def test_cufile_starts_with_our_values(tmp_path: Path) -> None:
    python = package_python("cufile")
    shim = library(NO_MODULES, tmp_path / "no_modules.so")
    where = {"LD_PRELOAD": str(shim), "CUFILE_LOGFILE_PATH": str(tmp_path / "cufile.log")}
    said: dict[str, Any]
    said, line = started(tmp_path, (curve("psync", "read", {512 << 10: 7}),), python, SCRIPT, **where)
    assert said["error"] == 0
    assert said["max_direct_io_size_kb"][0] == 512
    assert said["max_io_threads"][0] == 7
    assert said["parallel_io"]
    assert "CUFILE_ENV_PATH_JSON" in line
