"""The fixtures that other tests stand on: what they give, and that nothing of it stays behind."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage
from processes import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20


def backing(device: Path | None) -> str:
    """Return the file that is under the loop device, "" if there is none: the next one is another's."""
    assert device is not None
    try:
        return (Path("/sys/block") / device.name / "loop/backing_file").read_text().strip()
    except OSError:
        return ""


def gone(device: Path | None, file: str) -> bool:
    """Wait until the file is under the device no more: the kernel may take a moment, and udevd may look at it."""
    return until(lambda: backing(device) != file)


def test_a_loop_device_is_blank_and_has_4_kib_sectors(loop_device: Callable[[int], Path]) -> None:
    device = loop_device(64 * MIB)
    queue = Path("/sys/block") / device.name / "queue"
    assert (queue / "logical_block_size").read_text().strip() == "4096"
    descriptor = os.open(device, os.O_RDWR | os.O_EXCL)
    try:
        assert os.lseek(descriptor, 0, os.SEEK_END) == 64 * MIB
        assert os.pread(descriptor, MIB, 0) == bytes(MIB)
    finally:
        os.close(descriptor)


@pytest.fixture
def sleeper() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that end with the test."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_storage_is_cleared_after_the_fixtures_named_before_it(
    sleeper: list[subprocess.Popen[bytes]], filesystem: Callable[..., storage.Filesystem]
) -> None:
    """The teardown is the check: it fails if it comes before the process that is in the filesystem has ended."""
    sleeper.append(subprocess.Popen(["sleep", "60"], cwd=filesystem(size_bytes=64 * MIB).path))


def test_two_loop_devices_are_two(loop_device: Callable[[int], Path]) -> None:
    assert loop_device(8 * MIB) != loop_device(8 * MIB)


def fail(device: Path | None, files: list[str]) -> None:
    """Keep in mind what is under the device, and fail."""
    files.append(backing(device))
    raise ZeroDivisionError


def test_the_loop_device_is_detached_after_a_failure(tmp_path: Path) -> None:
    files: list[str] = []
    with pytest.raises(ZeroDivisionError), storage.open_loop_device(8 * MIB, tmp_path) as device:
        fail(device, files)
    (file,) = files
    assert gone(device, file)
    assert not Path(file).exists()


def test_the_loop_device_is_detached_even_when_the_process_is_killed(tmp_path: Path) -> None:
    program = f"""
import os, signal, storage
from pathlib import Path
with storage.open_loop_device({8 * MIB}, Path({str(tmp_path)!r})) as device:
    print(device, Path("/sys/block", device.name, "loop/backing_file").read_text(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(storage.__file__).parent)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    device, _, file = done.stdout.strip().partition(" ")
    assert device.startswith("/dev/loop")
    assert gone(Path(device), file)
    # Whichever test makes the next file removes those of processes that have ended.
    storage.make_backing(MIB, Path(file).parent).unlink()
    assert not Path(file).exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_a_filesystem_is_mounted_and_writable(
    filesystem: Callable[..., storage.Filesystem], kind: storage.Kind
) -> None:
    made = filesystem(kind=kind, size_bytes=320 * MIB)
    (made.path / "file").write_bytes(bytes(MIB))
    assert made.path.is_mount()
    assert f" {made.path} {kind} " in Path("/proc/self/mounts").read_text()
    assert (made.device is None) == (kind == "tmpfs")


def test_a_filesystem_is_unmounted_and_its_device_detached_after_a_failure(tmp_path: Path) -> None:
    files: list[str] = []
    with pytest.raises(ZeroDivisionError), storage.mounted_filesystem("ext4", 64 * MIB, tmp_path) as made:
        fail(made.device, files)
    assert not made.path.is_mount()
    assert gone(made.device, *files)


def test_a_filesystem_still_in_use_is_taken_out_of_the_tree_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "PATIENCE_S", 0.5)
    with ExitStack() as stack:
        made = stack.enter_context(storage.mounted_filesystem("ext4", 64 * MIB, tmp_path))
        file = backing(made.device)
        with (made.path / "file").open("w"):
            with pytest.raises(OSError, match="busy"):
                stack.close()
            assert not made.path.is_mount()
            assert backing(made.device) == f"{file} (deleted)"
    assert gone(made.device, f"{file} (deleted)")
