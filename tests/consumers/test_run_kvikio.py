"""KvikIO, started by `aio-tuned run` without any configuration: its settings, threads and requests are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumers.packages import package_python
from consumers.started import started
from consumers.stubs import library
from consumers.test_real_kvikio import DRIVER, SCRIPT, VERSIONS
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path

CURVES = (curve("psync", "read", {512 << 10: 7}), curve("psync", "write", {512 << 10: 3}))


def test_kvikio_reads_and_writes_with_our_threads_and_tasks(tmp_path: Path) -> None:
    python = package_python("kvikio")
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    library("".join(f"int cu{name}{v}(void){{return 0;}}" for name in DRIVER for v in VERSIONS), stubs / "libcuda.so.1")
    extra = {"LD_LIBRARY_PATH": str(stubs), "KVIKIO_COMPAT_MODE": "ON"}
    said: dict[str, Any]
    said, line = started(tmp_path, CURVES, python, SCRIPT, tmp_path / "data", **extra)
    assert (said["num_threads"], said["pool"], said["task_size"]) == (7, 7, 512 << 10)
    assert (said["auto_direct_io_read"], said["auto_direct_io_write"]) == (True, True)
    assert 64 <= said["reads"] <= 64 + 8  # 32 MiB in tasks of 512 KiB, and what else was read
    assert said["same"]
    assert "KVIKIO_NTHREADS" in line


def test_kvikio_keeps_what_its_user_has_set(tmp_path: Path) -> None:
    script = "import json, kvikio.defaults as d; print(json.dumps([d.get('num_threads'), d.get('task_size')]))"
    said, line = started(tmp_path, CURVES, package_python("kvikio"), script, KVIKIO_NTHREADS="2")
    assert said == [2, 512 << 10]
    assert line.endswith("; kept KVIKIO_NTHREADS")
