"""btrfs, which on Linux 6.14 and later writes files with checksums through the page cache, O_DIRECT or not."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import pytest

import storage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.conftest import Tuner

MIB = 1 << 20
FEW = '[grid]\nblock_size = "1M"\nio_parallelism = 1\n[sweep]\ntime_budget = 15'


@pytest.fixture
def folder(tuner: Tuner, filesystem: Callable[..., storage.Filesystem]) -> Path:
    """A folder in a fresh btrfs, for a sweep of few points."""
    tuner.configure(FEW)
    made = filesystem(kind="btrfs", size_bytes=640 * MIB).path / "folder"
    made.mkdir()
    return made


def through_the_cache(profile: dict[str, Any]) -> list[str]:
    findings: list[str] = profile["evidence"]["findings"]
    return [finding for finding in findings if "pass through the page cache" in finding]


def test_writes_of_files_with_checksums_are_provisional_with_the_nocow_figure(tuner: Tuner, folder: Path) -> None:
    if tuple(map(int, platform.release().split(".")[:2])) < (6, 14):
        pytest.skip("before Linux 6.14 btrfs writes them directly")
    profile = tuner.profile(folder)
    (said,) = through_the_cache(profile)
    assert profile["state"] == "provisional"
    assert said.startswith("write: ")
    assert f"chattr +C {folder}" in said
    assert "B/s with the default setting" in said
    assert profile["fingerprint"]["filesystem"] == "btrfs"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("way", ["chattr +C", "btrfs = nocow", "nodatacow"])
def test_files_without_copy_on_write_are_measured(tuner: Tuner, folder: Path, way: str) -> None:
    if way == "chattr +C":
        storage.run("chattr", "+C", folder)
    elif way == "btrfs = nocow":
        tuner.configure('[sweep]\nbtrfs = "nocow"')
    else:
        storage.run("mount", "-o", "remount,nodatacow", folder.parent)
    profile = tuner.profile(folder)
    assert profile["state"] == "measured", profile["evidence"]["findings"]
    assert through_the_cache(profile) == []
    assert profile["fingerprint"]["filesystem"] == "btrfs nocow"
    asked = [finding for finding in profile["evidence"]["findings"] if "[sweep] btrfs" in finding]
    assert len(asked) == (way == "btrfs = nocow")
