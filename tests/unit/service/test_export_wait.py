from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from aio_tuned.service import status
from aio_tuned.service.export_wait import until_written
from aio_tuned.service.status import ExportStatus, Status

PATH = Path("/mnt/x")
HAS = ExportStatus(consumer="kvikio", path="/mnt/x", file="/a", state="settings", device="nvme-A")
WAITS = replace(HAS, state="defaults", device="", reason="/mnt/x: on no drive")


def write(runtime: Path, *exports: ExportStatus) -> None:
    status.write(runtime, Status(version="1", pid=os.getpid(), since="", exports=exports))


def took_s(runtime: Path, limit_s: float = 20.0) -> float:
    began = time.monotonic()
    until_written(runtime, PATH, "nvme-A", limit_s)
    return time.monotonic() - began


def test_it_ends_when_the_file_has_the_drives_settings(tmp_path: Path) -> None:
    write(tmp_path, WAITS)
    written = threading.Event()

    def write_later() -> None:
        written.set()
        write(tmp_path, HAS)

    later = threading.Timer(0.3, write_later)
    later.start()
    assert took_s(tmp_path) < 15
    assert written.is_set()
    later.join()


@pytest.mark.parametrize(
    "exports",
    [
        (),
        (HAS,),
        (replace(WAITS, path="/mnt/y"),),
        (replace(WAITS, state="failed"),),
    ],
    ids=["no rule", "written", "other path", "failed"],
)
def test_it_ends_at_once_where_nothing_is_to_come(tmp_path: Path, exports: tuple[ExportStatus, ...]) -> None:
    write(tmp_path, *exports)
    assert took_s(tmp_path) < 15


def test_it_ends_at_once_without_a_daemon(tmp_path: Path) -> None:
    assert took_s(tmp_path) < 15
    assert took_s(tmp_path / "missing") < 15


@pytest.mark.parametrize("export", [WAITS, replace(HAS, device="nvme-B")], ids=["none", "another drive's"])
def test_it_ends_after_the_limit(tmp_path: Path, export: ExportStatus) -> None:
    write(tmp_path, export)
    assert 0.25 < took_s(tmp_path, limit_s=0.3) < 15
