"""Version 2 of the protocol: engines, places, mixes, groups, memory and new files. PROTOCOL.md §3 and §4."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native.helper_process import MIB, Helper, StartHelper, point
from native.test_protocol import check_point

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage import Filesystem

SPAN = 16 * MIB
SIZES = [f"--span-bytes={SPAN}", f"--max-transfer-bytes={4 * MIB}", "--protocol=2"]
ENGINES = ("libaio", "io_uring", "psync")


def shape(engine: str, in_flight: int = 8) -> dict[str, int | str]:
    """Return the keys of so many requests in flight, as the sweep asks for them."""
    depth = 1 if engine == "psync" else in_flight
    return {"engine": engine, "queue_depth": depth, "io_parallelism": in_flight // depth, "access": "random"}


def open_helper(start: StartHelper, folder: Path, *options: str) -> Helper:
    """Start a helper with a scratch file and read its hello; skip where an engine is missing."""
    helper = start(f"--scratch={folder}", *SIZES, "--drop-caches=never", *options)
    engines = helper.receive()["engines"]
    if any(engines.values()):
        pytest.skip(f"engines: {engines}")
    return helper


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("access", ["sequential", "random"])
@pytest.mark.parametrize("op", ["read", "write", "mixed"])
def test_every_engine(start: StartHelper, tmp_path: Path, engine: str, access: str, op: str) -> None:
    helper = open_helper(start, tmp_path, "--allow-write")
    mix = {"read_percent": 70} if op == "mixed" else {}
    answer = helper.ask(point(op=op, min_transfers=3, **(shape(engine) | {"access": access} | mix)))
    check_point(answer, transfers=3, transfer_bytes=4 * MIB)
    assert answer["op"] == op
    assert answer["requests"] == 3 * 64
    assert answer["cache"]["verdict"] in {"device", "unknown"}
    assert ("io_workers" in answer) == (engine == "io_uring")
    assert "groups_ns" not in answer
    end = helper.finish()[1][-1]
    written = end["bytes_written"] - SPAN
    assert end["bytes_read"] + written == 12 * MIB
    assert answer["written_bytes"] == written
    assert {"read": written == 0, "write": written == 12 * MIB, "mixed": MIB < written < 8 * MIB}[op]
    assert list(tmp_path.iterdir()) == []


def test_psync_with_512_threads(start: StartHelper, tmp_path: Path) -> None:
    helper = open_helper(start, tmp_path)
    answer = helper.ask(point(block_size=8192, min_transfers=4, **shape("psync", 512)))
    check_point(answer, transfers=4, transfer_bytes=4 * MIB)
    assert answer["submits"] == answer["requests"] == 4 * 512
    assert helper.finish()[0] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_groups(start: StartHelper, tmp_path: Path, engine: str) -> None:
    helper = open_helper(start, tmp_path, "--allow-write")
    for op in ("read", "write"):
        answer = helper.ask(point(op=op, min_transfers=3, groups=4, **shape(engine)))
        check_point(answer, transfers=3, transfer_bytes=4 * MIB)
        assert len(answer["groups_ns"]) == 4
        assert max(answer["groups_ns"]) <= answer["elapsed_ns"]
        assert min(answer["groups_ns"]) > 0
    assert helper.finish()[0] == 0


def test_each_group_has_an_open_file_of_its_own(start: StartHelper, tmp_path: Path) -> None:
    helper = open_helper(start, tmp_path)
    folder = Path(f"/proc/{helper.process.pid}/fd")

    def targets() -> int:
        return sum("(deleted)" in str(fd.readlink()) for fd in folder.iterdir())

    helper.ask(point())
    assert targets() == 1
    helper.ask(point(groups=4))
    assert targets() == 4
    helper.ask(point(groups=2))
    assert targets() == 4


def test_a_written_device_is_not_opened_again(start: StartHelper, loop_device: Callable[[int], Path]) -> None:
    """A second open would look like that of another process, and end the run."""
    device = loop_device(64 * MIB)
    helper = start(f"--device={device}", *SIZES, "--allow-write")
    helper.receive()
    for op in ("read", "write", "mixed"):
        for engine in ENGINES:
            mix = {"read_percent": 30} if op == "mixed" else {}
            answer = helper.ask(point(op=op, groups=2, min_transfers=3, **(shape(engine) | mix)))
            assert answer["type"] == "point", answer
            assert answer["cache"]["verdict"] == "device"
    code, messages = helper.finish()
    assert code == 0
    assert messages[-1]["span"] == "clean"


def test_a_random_walk_uses_the_whole_span_once(start: StartHelper, tmp_path: Path) -> None:
    """Four points with one seed, which together are as long as the span, write each block of it once."""
    path = tmp_path / "file"
    path.write_bytes(bytes(SPAN))
    helper = start(f"--file={path}", *SIZES, "--allow-write")
    helper.receive()
    for number in range(4):
        helper.ask(point(op="write", block_size=MIB, seed=9, **shape("psync", 4)))
        data = path.read_bytes()
        written = sum(data[at : at + MIB] != bytes(MIB) for at in range(0, SPAN, MIB))
        assert written == 4 * (number + 1)


@pytest.mark.parametrize("pages", ["consumer", "huge"])
def test_another_memory(start: StartHelper, tmp_path: Path, pages: str) -> None:
    helper = open_helper(start, tmp_path, "--allow-write")
    for op in ("read", "write", "read"):
        answer = helper.ask(point(op=op, memory=pages, min_transfers=2))
        check_point(answer, transfers=2, transfer_bytes=4 * MIB)
        if pages == "huge" and answer["memory"]["backing"] == "thp":
            assert answer["memory"]["huge_bytes"] == 4 * MIB
    assert helper.ask(point(memory=pages, transfer_bytes=MIB))["type"] == "point"
    assert "memory" not in helper.ask(point())
    assert helper.finish()[0] == 0


def test_registered_memory(start: StartHelper, tmp_path: Path) -> None:
    helper = open_helper(start, tmp_path, "--allow-write")
    for op, groups in (("read", 1), ("write", 2), ("read", 2)):
        keys = shape("io_uring") | {"fixed_buffers": 1, "groups": groups}
        check_point(helper.ask(point(op=op, min_transfers=2, **keys)), transfers=2, transfer_bytes=4 * MIB)
    assert helper.finish()[0] == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_new_file(start: StartHelper, filesystem: Callable[..., Filesystem], engine: str) -> None:
    folder = filesystem("ext4", 256 * MIB).path
    helper = open_helper(start, folder, "--allow-write")
    before = os.statvfs(folder).f_bavail
    keys = shape(engine) | {"access": "sequential", "new_file": 1}
    answer = helper.ask(point(op="write", min_transfers=5, **keys))
    check_point(answer, transfers=5, transfer_bytes=4 * MIB)
    assert answer["cache"]["verdict"] == "device"
    assert answer["counters"]["write_bytes"] >= 20 * MIB
    assert os.statvfs(folder).f_bavail >= before - 64  # its blocks are free again
    assert [path.name for path in folder.iterdir() if path.name != "lost+found"] == []
    assert helper.finish()[0] == 0


def test_nothing_is_left_of_a_new_file_after_sigkill(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    folder = filesystem("ext4", 256 * MIB).path
    before = os.statvfs(folder).f_bavail
    helper = open_helper(start, folder, "--allow-write")
    helper.send(point(op="write", new_file=1, min_ns=20 * 10**9))
    time.sleep(0.3)
    helper.process.send_signal(signal.SIGKILL)
    helper.process.wait(10)
    assert [path.name for path in folder.iterdir() if path.name != "lost+found"] == []
    os.sync()
    assert os.statvfs(folder).f_bavail >= before - 64


def test_a_new_file_must_leave_free_space(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    """The guard counts the new file before its first byte; without it the same request is served."""
    folder = filesystem("ext4", 256 * MIB).path
    status = os.statvfs(folder)
    least = status.f_bavail * status.f_frsize - SPAN - 2 * MIB
    helper = open_helper(start, folder, "--allow-write", f"--min-free-bytes={least}")
    assert helper.ask(point(op="write"))["type"] == "point"
    helper.send(point(op="write", new_file=1))
    code, error = helper.fail()
    assert (code, error["op"]) == (75, "space")


def test_the_guard_truncates_a_new_file(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    folder = filesystem("ext4", 256 * MIB).path
    least = 100 * MIB
    helper = open_helper(start, folder, "--allow-write", f"--min-free-bytes={least}")
    helper.send(point(op="write", new_file=1, min_ns=60 * 10**9))
    time.sleep(0.3)
    with (folder / "other").open("wb") as other:
        status = os.statvfs(folder)
        os.posix_fallocate(other.fileno(), 0, status.f_bavail * status.f_frsize - least // 2)
        message = helper.receive()
        assert (message["code"], message["op"]) == (75, "space")
        assert helper.process.wait(30) == 75
        assert os.statvfs(folder).f_bavail * status.f_frsize >= least // 2 + SPAN


@pytest.mark.parametrize("engine", ENGINES)
def test_a_truncated_file_is_an_io_error(start: StartHelper, tmp_path: Path, engine: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(SPAN))
    helper = start(f"--file={path}", *SIZES)
    helper.receive()
    os.truncate(path, 0)
    helper.send(point(id=5, **shape(engine)))
    code, error = helper.fail()
    assert code == 74
    assert error["id"] == 5
    assert "moved 0 bytes" in error["message"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_signal_ends_each_engine(start: StartHelper, tmp_path: Path, engine: str) -> None:
    helper = open_helper(start, tmp_path)
    helper.send(point(min_ns=30 * 10**9, **shape(engine)))
    time.sleep(0.3)
    helper.process.terminate()
    assert helper.receive()["reason"] == "signal"
    assert helper.process.wait(5) == 0


def test_no_transfer_starts_after_a_signal(start: StartHelper, tmp_path: Path) -> None:
    """The signal is pending while the request line is read; the point moves nothing."""
    helper = open_helper(start, tmp_path)
    helper.process.send_signal(signal.SIGSTOP)
    helper.send(point())
    helper.process.send_signal(signal.SIGTERM)
    helper.process.send_signal(signal.SIGCONT)
    end = helper.receive()
    assert (end["type"], end["reason"], end["bytes_read"]) == ("end", "signal", 0)


def test_no_write_without_permission(start: StartHelper, tmp_path: Path) -> None:
    helper = open_helper(start, tmp_path)
    helper.send(point(op="mixed", read_percent=99, **shape("psync")))
    code, error = helper.fail()
    assert code == 65
    assert "--allow-write" in error["message"]


def test_version_1_has_none_of_it(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES[:2], "--allow-write")
    helper.receive()
    helper.send(point(engine="psync"))
    code, error = helper.fail()
    assert code == 65
    assert "engine=psync: unknown key" in error["message"]


def test_io_uring_that_is_forbidden(start: StartHelper, tmp_path: Path) -> None:
    """The reason is in hello, and a request for it is rejected: no other engine takes its place."""
    setting = Path("/proc/sys/kernel/io_uring_disabled")
    if not os.access(setting, os.W_OK):
        pytest.skip("needs root and Linux 6.6")
    before = setting.read_text()
    try:
        setting.write_text("2")
        helper = start(f"--scratch={tmp_path}", *SIZES)
        reason = helper.receive()["engines"]["io_uring"]
    finally:
        setting.write_text(before)
    assert "io_uring is forbidden here" in reason
    helper.send(point(**shape("io_uring")))
    code, error = helper.fail()
    assert code == 65
    assert reason in error["message"]


def test_a_point_ends_when_other_processes_use_the_device(start: StartHelper, tmp_path: Path) -> None:
    """A server that begins waits for one transfer, not for all of a measurement."""
    counters, folder = tmp_path / "stat", tmp_path / "scratch"
    folder.mkdir()
    quiet = threading.Event()

    # Its counters never show the I/O of the helper itself, which others therefore exceed by far.
    counters.write_text(f"0 0 {0:020} " + "0 " * 13 + "\n")

    def grow() -> None:
        sectors = 0
        with counters.open("r+b", buffering=0) as file:
            while not quiet.wait(0.01):
                os.pwrite(file.fileno(), f"{(sectors := sectors + (1 << 32)):020}".encode(), 4)

    helper = open_helper(start, folder, "--allow-write", f"--counters={counters}")
    usual = helper.ask(point(max_foreign_bytes=32768, min_transfers=50))
    assert len(usual["transfers_ns"]) == 50
    others = threading.Thread(target=grow)
    others.start()
    try:
        answer = helper.ask(point(max_foreign_bytes=32768, min_ns=60 * 10**9))
    finally:
        quiet.set()
        others.join()
    assert answer["elapsed_ns"] < 30 * 10**9
    assert answer["counters"]["read_bytes"] - answer["bytes"] > 32768
    assert helper.finish()[1][-1]["type"] == "end"
