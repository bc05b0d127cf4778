"""What cannot be tuned is refused by its reason, with the documented exit code, and nothing is published."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.conftest import Done, Tuner
    from daemon.loop_drive import LoopDrive

MIB = 1 << 20


def assert_refused(tuner: Tuner, done: Done, code: int, *words: str) -> None:
    """One line to a person, and no more."""
    assert done.code == code, done.stderr
    assert done.last.startswith("aio-tuned: ")
    for word in words:
        assert word in done.last
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert tuner.published() == {}


def test_a_filesystem_in_memory(quick: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem(kind="tmpfs")
    assert_refused(quick, quick.run(made.path), 66, f"{made.path}: tmpfs is", "no block device to tune")


@pytest.mark.parametrize("path", ["/proc", "/sys"])
def test_a_filesystem_of_the_kernel(quick: Tuner, path: str) -> None:
    assert_refused(quick, quick.run(Path(path)), 66, f"{path}: ", "no block device")


def test_an_overlay_whose_upper_directory_cannot_be_seen(
    quick: Tuner, mount: Callable[..., Path], tmp_path: Path
) -> None:
    lower = [tmp_path / name for name in ("one", "two")]
    for folder in lower:
        folder.mkdir()
    try:
        overlay = mount("-t", "overlay", "-o", f"lowerdir={lower[0]}:{lower[1]}", "overlay")
    except OSError as error:
        pytest.skip(f"no overlay here: {error}")
    assert_refused(quick, quick.run(overlay), 66, str(overlay), "overlay", "not visible")


def test_a_filesystem_without_room(quick: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem()
    assert made.device is not None
    with (made.path / "hog").open("wb") as hog:
        os.posix_fallocate(hog.fileno(), 0, os.statvfs(made.path).f_bavail * 4096 - 200 * MIB)
    free = os.statvfs(made.path).f_bavail * os.statvfs(made.path).f_frsize // MIB
    for target in (made.path, made.device):
        assert_refused(quick, quick.run(target), 66, f"only {free} MiB are free", "needs 64 MiB")


def test_a_mount_that_is_read_only(quick: Tuner, disk: Callable[..., LoopDrive], mount: Callable[..., Path]) -> None:
    made = disk(size_bytes=512 * MIB)
    storage.run(*storage.MAKE["ext4"], made.node)
    path = mount("-o", "ro", made.node)
    assert_refused(quick, quick.run(path), 66, f"{path}: filesystem is mounted read-only", "--raw")


def test_a_bind_mount_that_is_read_only(
    quick: Tuner, filesystem: Callable[..., storage.Filesystem], mount: Callable[..., Path]
) -> None:
    made = filesystem()
    path = mount("--bind", made.path)
    storage.run("mount", "-o", "remount,ro,bind", path)
    assert_refused(quick, quick.run(path), 66, f"{path}: filesystem is mounted read-only")


@pytest.mark.parametrize("what", ["disk", "partition", "disk of the partition"])
@pytest.mark.parametrize("arguments", [(), ("--raw",)])
def test_a_swap_area_in_use(
    quick: Tuner,
    partition: Callable[..., tuple[LoopDrive, Path]],
    disk: Callable[..., LoopDrive],
    request: pytest.FixtureRequest,
    what: str,
    arguments: tuple[str, ...],
) -> None:
    if what == "disk":
        made = disk()
        area = made.node
    else:
        made, area = partition()
    storage.run("mkswap", area)
    try:
        storage.run("swapon", area)
    except OSError as error:
        pytest.skip(f"no swap here: {error}")
    request.addfinalizer(lambda: storage.run("swapoff", area))
    target = area if what == "partition" else made.node
    assert_refused(quick, quick.run(target, *arguments), 66, f"{target}: in use as swap")


@pytest.mark.parametrize("way", ["mount", "first device", "second device"])
def test_a_btrfs_over_two_devices(
    quick: Tuner, disk: Callable[..., LoopDrive], mount: Callable[..., Path], way: str
) -> None:
    if not storage.supports("btrfs"):
        pytest.skip("this kernel has no btrfs")
    pair = [disk(size_bytes=320 * MIB).node for _ in range(2)]
    storage.run(*storage.MAKE["btrfs"], *pair)
    storage.run("btrfs", "device", "scan", *pair)
    path = mount(pair[0])
    target = {"mount": path, "first device": pair[0], "second device": pair[1]}[way]
    assert_refused(quick, quick.run(target), 66, "btrfs over 2 devices", pair[0].name, pair[1].name)


@pytest.mark.parametrize(
    ("target", "word"), [("/nowhere", "no such file"), ("/dev/null", "not a directory, file or block device")]
)
def test_what_is_no_target(quick: Tuner, target: str, word: str) -> None:
    assert_refused(quick, quick.run(Path(target)), 66, target, word)


def test_a_device_that_is_too_small(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk(size_bytes=32 * MIB)
    assert_refused(quick, quick.run(made.node), 66, f"too small: {made.node} has 32 MiB", "64 MiB")


# The interpreter may lie in root's home, so nobody may read what he likes here, but write only what is his.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
NOBODY_WHO_READS = (*NOBODY, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
WITHOUT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override")


@pytest.mark.parametrize("under", [NOBODY_WHO_READS, WITHOUT_OVERRIDE])
def test_a_folder_for_profiles_that_is_somebody_elses(
    quick: Tuner, filesystem: Callable[..., storage.Filesystem], tmp_path: Path, under: tuple[str, ...]
) -> None:
    made = filesystem()
    out = tmp_path / "out"
    out.mkdir()
    os.chown(out, 1, 1)
    done = quick.run(made.path, out=out, under=under)
    remedy = "run as root, or pass" if under == NOBODY_WHO_READS else "denied; pass another folder"
    assert_refused(quick, done, 73, f"{out}: cannot be written: Permission denied", remedy)
    assert list(out.iterdir()) == []


def test_a_folder_for_profiles_that_cannot_be(quick: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem()
    for out in (Path("/proc/here"), quick.config):
        done = quick.run(made.path, out=out)
        assert_refused(quick, done, 73, str(out), "cannot be written")


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_helper_that_is_missing(
    quick: Tuner, filesystem: Callable[..., storage.Filesystem], tmp_path: Path, way: str
) -> None:
    made = filesystem()
    missing = tmp_path / "aio-sweep"
    if way == "argument":
        done = quick.run(made.path, "--helper", missing)
    else:
        done = quick.run(made.path, environment={"AIO_TUNED_HELPER": str(missing)})
    assert_refused(quick, done, 70, f"{missing}: not found or not executable")


def test_a_write_budget_that_does_not_pay_for_the_sweep(
    tuner: Tuner, filesystem: Callable[..., storage.Filesystem]
) -> None:
    made = filesystem()
    done = tuner.run(made.path, "--write-budget", "256M")
    assert_refused(tuner, done, 64, "write budget of 256 MiB", "pass --write-budget")


def test_the_write_budget_that_is_advised_is_enough(
    tuner: Tuner, filesystem: Callable[..., storage.Filesystem]
) -> None:
    made = filesystem()
    advice = tuner.run(made.path, "--write-budget", "256M").last.partition("pass --write-budget ")[2].split()[0]
    done = tuner.run(made.path, "--write-budget", advice)
    assert done.code == 0, done.last


def test_a_write_budget_is_never_exceeded(tuner: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem()
    assert made.device is not None
    stat = Path("/sys/block") / made.device.name / "stat"
    before = int(stat.read_text().split()[6]) * 512
    tuner.run(made.path, "--write-budget", "128M")
    written = int(stat.read_text().split()[6]) * 512 - before
    assert written < (128 + 8) * MIB
