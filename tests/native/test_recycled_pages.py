"""The buffer's contiguity does not depend on a process that has just ended: its pages are handed out backwards."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from native.helper_process import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from native.conftest import StartHelper

BUFFER = 64 * MIB
SIZES = (f"--span-bytes={BUFFER}", f"--max-transfer-bytes={BUFFER}")
# Writes each page of twice the buffer, in order, and ends: its pages are freed in that order.
PROCESS = f"""
import mmap
memory = mmap.mmap(-1, {2 * BUFFER})
memory.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, len(memory), mmap.PAGESIZE):
    memory[at] = 1
"""


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """Keep this process and those that it starts on one CPU, whose lists of pages they share."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.mark.usefixtures("one_cpu")
def test_a_buffer_is_as_contiguous_after_each_process(start: StartHelper, tmp_path: Path) -> None:
    runs = []
    for _ in range(4):
        # Each of them turns the order of the pages, and so does the helper itself.
        for processes in (1, 2):
            for _ in range(processes):
                subprocess.run([sys.executable, "-c", PROCESS], check=True)
            helper = start(f"--scratch={tmp_path}", *SIZES)
            runs.append(helper.receive()["buffer"]["mean_run_bytes"])
            assert helper.finish()[0] == 0
            if not runs[-1]:
                pytest.skip("the kernel shows no frame numbers: needs CAP_SYS_ADMIN")
    # Without the lists' pages they differ by a factor of 1.5, with them by 10 or more.
    assert max(runs) < 4 * min(runs), runs
