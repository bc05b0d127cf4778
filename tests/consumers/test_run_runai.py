"""Run:ai Model Streamer, started by `aio-tuned run` without any configuration: its log has our depth and chunk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from consumers.packages import package_python
from consumers.started import started
from consumers.test_real_runai import SCRIPT
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from pathlib import Path


def test_the_streamer_reads_our_chunks_at_our_depth(tmp_path: Path) -> None:
    log = tmp_path / "log"
    logging = {"RUNAI_STREAMER_LOG_LEVEL": "DEBUG", "RUNAI_STREAMER_LOG_FILE": str(log)}
    curves = (curve("io_uring", "read", {512 << 10: 7}),)
    same, _ = started(tmp_path, curves, package_python("runai"), SCRIPT, tmp_path / "model.safetensors", **logging)
    assert same == [True] * 4
    said: Any = re.search(r"(\w+), async io: depth (\d+) .*chunk (\d+) bytes", log.read_text())
    assert said, "neither io_uring nor libaio works here"
    assert (int(said[2]), int(said[3])) == (7, 512 << 10)
