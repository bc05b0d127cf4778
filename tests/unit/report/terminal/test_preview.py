"""The first lines of `aio-tuned tune`, and the plan of --dry-run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.report.terminal import preview
from unit.report.terminal.test_progress_bar import preview as made
from unit.support.builders import GIB, MIB, device, scratch_target

if TYPE_CHECKING:
    from aio_tuned.model.target import Target

RAW = scratch_target(kind="device", path=Path("/dev/nvme0n1"), no_write="not blank", offset_bytes=4 * MIB)


@pytest.fixture(params=[True, False], ids=["root", "user"])
def may_drop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bool:
    path = tmp_path / "drop_caches"
    if request.param:
        path.touch()
    monkeypatch.setattr(preview, "_DROP_CACHES", str(path))
    return bool(request.param)


@pytest.mark.parametrize(
    ("target", "written_bytes", "lines"),
    [
        (
            scratch_target(),
            17 * GIB,
            [
                "nvme0n1 (Samsung SSD 980 PRO 1TB, 1.00 TB) through /mnt/nvme (ext4)",
                "reads and writes, at most 2:30 and 17 GiB written",
                "host page cache: not dropped",
            ],
        ),
        (
            scratch_target(no_write="asked for reads only (--read-only)"),
            GIB,
            [
                "nvme0n1 (Samsung SSD 980 PRO 1TB, 1.00 TB) through /mnt/nvme (ext4)",
                "reads only, at most 2:30 and 1 GiB written",
                "host page cache: not dropped",
            ],
        ),
        (
            RAW,
            0,
            [
                "nvme0n1 (Samsung SSD 980 PRO 1TB, 1.00 TB) through /dev/nvme0n1 (raw device)",
                "reads only, at most 2:30 and nothing written",
                "host page cache: not dropped",
                "no writes: not blank",
            ],
        ),
    ],
)
def test_a_sweep_begins_with_what_it_will_do(target: Target, written_bytes: int, lines: list[str]) -> None:
    assert preview.opening(made(target, written_bytes=written_bytes)) == lines
    assert max(map(len, lines)) <= 76


def test_a_drive_without_a_model_has_its_name() -> None:
    shown = preview.opening(made(device=device(model="", name="block-vda", sys_name="vda", size_bytes=6 << 30)))
    assert shown[0] == "vda (block-vda, 6.44 GB) through /mnt/nvme (ext4)"


@pytest.mark.parametrize(
    ("policy", "dropped"),
    [("auto", "dropped once, before the reads"), ("always", "dropped for every measurement"), ("never", "")],
)
def test_a_drop_of_the_page_cache_is_announced(may_drop: bool, policy: str, dropped: str) -> None:
    line = preview.opening(made(drop_caches=policy))[2]
    if not dropped:
        assert line == "host page cache: not dropped"
    elif may_drop:
        assert line == f"host page cache: {dropped}; --drop-caches=file keeps it"
    else:
        assert line == "host page cache: not dropped (that needs root)"
    assert len(line) <= 76


def test_the_plan_has_every_limit_and_the_file() -> None:
    quick = made(measured={"read": 64, "write": 64}, drop_caches="never", time_s=20.0)
    assert preview.plan(quick, Path("/etc/aio-tuned/nvme-x.toml")) == [
        "nvme0n1 (Samsung SSD 980 PRO 1TB, 1.00 TB) through /mnt/nvme (ext4)",
        "  I/O             scratch file of 1 GiB in /mnt/nvme, deleted at the end",
        "  read settings   64 of 320",
        "  write settings  64 of 320",
        "  time            at most 0:20",
        "  written         at most 21 GiB",
        "  afterwards      nothing",
        "  page cache      not dropped",
        "  profile         /etc/aio-tuned/nvme-x.toml",
        "dry run: nothing was measured, written or dropped",
    ]


def test_the_plan_of_a_raw_device_says_why_it_is_not_written() -> None:
    shown = preview.plan(made(RAW, settings={"read": 320}, measured={"read": 320}, written_bytes=0), Path("/x.toml"))
    assert "  I/O             1 GiB of /dev/nvme0n1, from byte 4,194,304" in shown
    assert "  write settings  none" in shown
    assert "  written         nothing" in shown
    assert "no writes: not blank" in shown


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"after_s": 36.0, "after_bytes": 0}, "at most 0:36 of these"),
        ({"after_s": 36.0, "after_bytes": 3 * GIB, "engines": ("psync",)}, "psync; at most 0:36 and 3 GiB of these"),
        (
            {"after_s": 9.0, "after_bytes": GIB, "engines": ("psync", "io_uring"), "processes": (1, 2)},
            "psync; io_uring; 1, 2 processes; at most 0:09 and 1 GiB of these",
        ),
    ],
)
def test_the_plan_has_what_is_measured_after_the_choice(changes: dict[str, Any], said: str) -> None:
    assert f"  afterwards      {said}" in preview.plan(replace(made(), **changes), Path("/x.toml"))
