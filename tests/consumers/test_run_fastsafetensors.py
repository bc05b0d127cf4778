"""fastsafetensors, started by `aio-tuned run` without any configuration: its threads and reads are ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consumers.packages import package_python
from consumers.started import started
from consumers.test_real_fastsafetensors import SCRIPT
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path


def test_fastsafetensors_reads_our_blocks_with_our_threads(tmp_path: Path) -> None:
    curves = (curve("psync", "read", {256 << 10: 7}),)
    said: dict[str, Any]
    said, line = started(tmp_path, curves, package_python("fastsafetensors"), SCRIPT, tmp_path / "model.safetensors")
    assert said["threads"] == 7
    assert 128 <= said["reads"] <= 128 + 12  # 32 MiB in blocks of 256 KiB, and the header
    assert said["same"] == [True] * 4
    assert "FASTSAFETENSORS_CONFIG" in line
