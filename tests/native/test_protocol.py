"""Requests and answers of native/PROTOCOL.md §2 to §5, with scratch files and plain files."""

from __future__ import annotations

import mmap
import os
import platform
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native.helper_process import MIB, Helper, Message, StartHelper, point
from old_kernel import NUMBERS, under
from processes import alive, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage import Filesystem

SIZES = [f"--span-bytes={16 * MIB}", f"--max-transfer-bytes={4 * MIB}"]
MM = Path("/sys/kernel/mm")


def huge_page_bytes() -> tuple[int, list[int]]:
    """Return the size of a transparent huge page on this host, 0 without, and those that can be reserved."""
    transparent = MM / "transparent_hugepage/hpage_pmd_size"
    names = " ".join(path.name for path in MM.glob("hugepages/*"))
    reserved = [int(kib) << 10 for kib in re.findall(r"hugepages-(\d+)kB", names)]
    return int(transparent.read_text()) if transparent.exists() else 0, reserved


def check_hello(hello: Message) -> None:
    """Check every key that the document specifies."""
    assert hello["type"] == "hello"
    assert hello["protocol"] == 1
    assert hello["helper"] == "aio-sweep"
    assert set(hello) >= {"version", "allow_write", "logical_block_bytes", "fill_ns", "setup_ns"}
    assert set(hello["target"]) >= {"kind", "path", "offset_bytes", "span_bytes", "device_number"}
    assert hello["dio_alignment_bytes"] in {512, 1024, 2048, 4096}
    assert set(hello["buffer"]) >= {"bytes", "backing", "huge_bytes", "locked"}
    assert hello["buffer"]["backing"] in {"hugetlb", "thp", "pages"}
    assert hello["buffer"]["huge_bytes"] <= hello["buffer"]["bytes"]
    assert hello["buffer"]["thp_policy"] in {"always", "madvise", "never", ""}
    assert hello["buffer"]["page_bytes"] == mmap.PAGESIZE
    assert hello["buffer"]["mean_run_bytes"] <= hello["buffer"]["bytes"] + mmap.PAGESIZE
    transparent, reserved = huge_page_bytes()
    assert hello["buffer"]["thp_bytes"] == transparent
    fitting = [size for size in reserved if size <= hello["buffer"]["bytes"]]
    assert hello["buffer"]["reserved_page_bytes"] == max(fitting, default=0)
    assert set(hello["page_cache"]) >= {"policy", "drop_caches", "residency", "reason"}
    assert (hello["page_cache"]["reason"] == "") == hello["page_cache"]["drop_caches"]
    assert hello["page_cache"]["residency"] in {"cachestat", "mincore"}
    assert set(hello["counters"]) >= {"path", "live"}


def check_point(answer: Message, *, transfers: int, transfer_bytes: int) -> None:
    """Check that the figures are consistent."""
    assert answer["type"] == "point", answer
    assert len(answer["transfers_ns"]) == transfers
    assert all(ns > 0 for ns in answer["transfers_ns"])
    assert answer["transfer_bytes"] == transfer_bytes
    assert answer["bytes"] == transfers * transfer_bytes
    assert answer["elapsed_ns"] == sum(answer["transfers_ns"])
    assert answer["wall_ns"] >= answer["elapsed_ns"]
    latency = answer["latency_ns"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"]
    assert latency["max"] <= max(answer["transfers_ns"])
    assert latency["p999"] <= latency["max"]
    assert answer["cache"]["verdict"] in {"device", "cache", "unknown"}
    assert answer["cpu_user_ns"] + answer["cpu_system_ns"] >= 0
    assert set(answer["counters"]) == {"read_bytes", "write_bytes"}
    assert answer["again"] == 0
    assert 0 < answer["return_ns"] <= answer["wall_ns"]
    assert answer["host_cpu_ns"] >= 0
    assert answer["device_ios"] >= 0
    assert answer["device_merges"] >= 0


def test_the_protocol_is_that_of_the_caller(start: StartHelper, tmp_path: Path) -> None:
    first = start(f"--scratch={tmp_path}", *SIZES).receive()
    assert first["protocol"] == 1
    assert "engines" not in first
    second = start(f"--scratch={tmp_path}", *SIZES, "--protocol=2").receive()
    assert second["protocol"] == 2
    assert set(second["engines"]) == {"libaio", "io_uring", "psync"}
    assert second["engines"]["libaio"] == ""


@pytest.mark.parametrize("pages", ["consumer", "huge", "hugetlb"])
def test_every_kind_of_buffer(start: StartHelper, tmp_path: Path, pages: str) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES, f"--buffer={pages}")
    buffer = helper.receive()["buffer"]
    if pages == "consumer" and buffer["thp_policy"] in {"madvise", "never"}:
        assert buffer["backing"] == "pages"
        assert buffer["huge_bytes"] == 0
    if os.geteuid() == 0:
        assert buffer["mean_run_bytes"] >= os.sysconf("SC_PAGE_SIZE")
    assert helper.ask(point())["type"] == "point"
    assert helper.finish()[0] == 0


@pytest.mark.parametrize("overlap", [0, 1])
@pytest.mark.parametrize("single", [0, 1])
@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("op", ["read", "write"])
def test_every_mode(start: StartHelper, tmp_path: Path, overlap: int, single: int, threads: int, op: str) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES, "--allow-write", "--drop-caches=never")
    check_hello(helper.receive())
    answer = helper.ask(
        point(op=op, overlap_events=overlap, single_submit=single, io_parallelism=threads, min_transfers=3)
    )
    check_point(answer, transfers=3, transfer_bytes=4 * MIB)
    assert answer["op"] == op
    assert answer["requests"] == 3 * 64
    if single:
        assert answer["submits"] == answer["requests"]
    elif not overlap:
        assert answer["submits"] == answer["requests"] // 4
    if not overlap:
        assert answer["reaps"] == answer["requests"] // 4
    assert answer["cache"]["verdict"] in {"device", "unknown"}
    assert helper.finish() == (
        0,
        [
            {
                "type": "end",
                "reason": "eof",
                "points": 1,
                "bytes_read": 12 * MIB * (op == "read"),
                "bytes_written": 16 * MIB + 12 * MIB * (op == "write"),
                "bytes_trimmed": 0,
            }
        ],
    )
    assert list(tmp_path.iterdir()) == []


def test_the_example_of_the_document(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", "--span-bytes=268435456", "--max-transfer-bytes=67108864", "--allow-write")
    hello = helper.receive()
    check_hello(hello)
    assert hello["fill_bytes"] == 268435456
    line = (
        "point id=1 op=read block_size=1048576 queue_depth=8 io_parallelism=1 overlap_events=1 single_submit=0 "
        "transfer_bytes=67108864 min_transfers=3"
    )
    answer = helper.ask(line)
    check_point(answer, transfers=3, transfer_bytes=67108864)
    assert answer["requests"] == 192
    bad = line.replace("id=1", "id=2").replace("block_size=1048576", "block_size=1000")
    helper.send(bad)
    code, error = helper.fail()
    assert code == 65
    assert error["id"] == 2
    assert error["line"] == bad[:200]
    assert error["op"] == "request"
    assert (error["errno"], error["name"]) == (0, "")
    alignment = hello["dio_alignment_bytes"]
    assert error["message"] == f"block_size=1000: not a multiple of the target's I/O alignment, {alignment} bytes"


def test_the_limits_of_a_point(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES, "--drop-caches=never")
    helper.receive()
    check_point(helper.ask(point()), transfers=1, transfer_bytes=4 * MIB)
    answer = helper.ask(point(min_ns=200_000_000))
    assert answer["elapsed_ns"] >= 200_000_000
    assert sum(answer["transfers_ns"][:-1]) < 200_000_000
    answer = helper.ask(point(min_transfers=10, max_bytes=9 * MIB))
    check_point(answer, transfers=2, transfer_bytes=4 * MIB)
    check_point(helper.ask(point(min_transfers=10, max_bytes=1)), transfers=1, transfer_bytes=4 * MIB)
    answer = helper.ask(point(transfer_bytes=4096, block_size=4096, min_ns=10**12, max_bytes=4096 * 100))
    check_point(answer, transfers=100, transfer_bytes=4096)


def test_lines_ahead_are_answered_in_order(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES, "--drop-caches=never")
    helper.send(*(point(id=i) for i in range(50)))
    code, messages = helper.finish()
    assert code == 0
    assert [m["id"] for m in messages if m["type"] == "point"] == list(range(50))
    assert messages[-1]["points"] == 50


@pytest.mark.parametrize(
    ("line", "part", "quoted"),
    [
        ("", "unknown verb", ""),
        ("hello", "unknown verb", "hello"),
        (point(colour="red"), "colour=red: unknown key", None),
        (point(queue_depth=0), "queue_depth=0: must be", None),
        (point(id="99999999999999999999"), "id=99999999999999999999: must be", None),
        (point(transfer_bytes=8 * MIB), "--max-transfer-bytes", None),
        (point(op="write"), "--allow-write", None),
        (point() + " op=read", "twice", None),
        ("point id=3 op=read", "block_size: missing", "point id=3 op=read"),
        (point() + "\0", "NUL", None),
        ("point " + "x" * 1100, "longer than 1023", "point " + "x" * 194),
    ],
)
def test_bad_lines(start: StartHelper, tmp_path: Path, line: str, part: str, quoted: str | None) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES)
    helper.receive()
    helper.send(line)
    code, error = helper.fail()
    assert code == 65
    assert part in error["message"]
    assert error["line"] == (line[:200] if quoted is None else quoted)


def test_input_that_ends_within_a_line(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES)
    assert helper.process.stdin is not None
    helper.process.stdin.write("point id=1")
    code, error = helper.fail()
    assert code == 65
    assert "within a line" in error["message"]


def test_a_file_keeps_what_lies_outside_the_span(start: StartHelper, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xaa" * 24 * MIB)
    os.sync()
    arguments = [f"--file={path}", *SIZES, f"--offset-bytes={4 * MIB}"]
    reader = start(*arguments)
    assert reader.receive()["target"]["kind"] == "file"
    reader.ask(point(min_transfers=5))
    assert reader.finish()[0] == 0
    assert path.read_bytes() == b"\xaa" * 24 * MIB
    writer = start(*arguments, "--allow-write")
    writer.receive()
    writer.ask(point(op="write", min_transfers=4, block_size=3 * 65536))
    assert writer.finish()[0] == 0
    data = path.read_bytes()
    assert len(data) == 24 * MIB
    assert data[: 4 * MIB] == b"\xaa" * 4 * MIB
    assert data[20 * MIB :] == b"\xaa" * 4 * MIB
    assert b"\xaa" * 64 not in data[4 * MIB : 20 * MIB]


def test_pages_that_come_back_are_evicted_without_another_drop(start: StartHelper, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(16 * MIB))
    os.sync()
    helper = start(f"--file={path}", *SIZES)
    hello = helper.receive()
    if not hello["page_cache"]["drop_caches"]:
        pytest.skip(f"drop_caches cannot be written: {hello['page_cache']['reason']}")
    path.read_bytes()
    assert helper.ask(point(id=1))["cache"]["dropped"]
    second = helper.ask(point(id=2))
    assert not second["cache"]["dropped"]
    assert second["cache"]["resident_bytes"] == 0

    def evicts_all() -> bool:
        path.read_bytes()
        third = helper.ask(point(id=3))
        assert not third["cache"]["dropped"]
        found: bool = third["cache"]["resident_bytes"] == 16 * MIB
        return found

    # A drop by another process between the two takes the pages.
    assert until(evicts_all)
    assert helper.ask(point(id=6))["cache"]["resident_bytes"] == 0
    path.read_bytes()
    assert not helper.ask(point(id=4, drop_caches=0))["cache"]["dropped"]
    assert helper.ask(point(id=5, drop_caches=1))["cache"]["dropped"]


@pytest.mark.parametrize(
    ("policy", "dropped"),
    [("auto", "0100"), ("always", "1111"), ("file", "0000"), ("never", "0000")],
)
def test_drop_policies(start: StartHelper, tmp_path: Path, policy: str, dropped: str) -> None:
    """By default the page cache of the host is dropped before the first read only."""
    helper = start(f"--scratch={tmp_path}", *SIZES, f"--drop-caches={policy}", "--allow-write")
    if not helper.receive()["page_cache"]["drop_caches"]:
        pytest.skip("drop_caches cannot be written")
    directions = ("write", "read", "write", "read")
    assert "".join(str(int(helper.ask(point(op=op))["cache"]["dropped"])) for op in directions) == dropped


def test_a_resumed_sweep_requests_no_drop(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES)
    helper.receive()
    assert not helper.ask(point(drop_caches=0))["cache"]["dropped"]
    assert not helper.ask(point())["cache"]["dropped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_a_point_ends_the_run(start: StartHelper, tmp_path: Path, number: int) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES, "--drop-caches=never")
    helper.receive()
    helper.send(point(min_ns=30_000_000_000), point(id=2))
    tick = helper.receive(ticks=True)
    assert (tick["type"], tick["phase"], tick["id"], tick["total_bytes"]) == ("tick", "point", 1, 0)
    assert tick["bytes"] > 0
    began = time.monotonic()
    helper.process.send_signal(number)
    end = helper.receive()
    assert time.monotonic() - began < 15, "it has waited for the end of the point"
    assert end["type"] == "end"
    assert end["reason"] == "signal"
    assert end["points"] == 0
    assert end["bytes_read"] > 0
    assert helper.process.wait(5) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_idle(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES)
    helper.receive()
    helper.process.terminate()
    assert helper.receive()["reason"] == "signal"
    assert helper.process.wait(5) == 0


def test_sigkill_leaves_nothing(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES)
    helper.receive()
    helper.send(point(min_ns=10_000_000_000))
    time.sleep(0.2)
    helper.process.kill()
    helper.process.wait(5)
    assert list(tmp_path.iterdir()) == []


def test_the_helper_ends_with_its_parent(helper_path: Path, tmp_path: Path) -> None:
    script = f"exec 3<&0; {helper_path} --scratch={tmp_path} {' '.join(SIZES)} <&3 & echo $!; sleep 60"
    with subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        assert "hello" in shell.stdout.readline()
        shell.kill()
        shell.wait()
        assert until(lambda: not alive(pid))


def test_a_closed_standard_output(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES, "--drop-caches=never")
    helper.receive()
    assert helper.process.stdout is not None
    helper.process.stdout.close()
    helper.send(*(point(id=i) for i in range(10)))
    assert helper.process.wait(10) == 0


def test_memory_descriptors_and_threads_are_bounded(start: StartHelper, tmp_path: Path) -> None:
    helper = start(f"--scratch={tmp_path}", *SIZES, "--drop-caches=never")
    helper.receive()

    def footprint() -> tuple[int, int, int]:
        proc = Path(f"/proc/{helper.process.pid}")
        status = dict(line.split(":", 1) for line in proc.joinpath("status").read_text().splitlines())
        return int(status["VmRSS"].split()[0]), len(list(proc.joinpath("fd").iterdir())), int(status["Threads"])

    for depth in (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        helper.ask(point(queue_depth=depth, io_parallelism=8, block_size=4096))
    first = footprint()
    for depth in (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024):
        helper.ask(point(queue_depth=depth, io_parallelism=8, block_size=4096))
    rss_kib, fds, threads = footprint()
    assert rss_kib < 4 * 1024 + 16 * 1024  # the buffer and 16 MiB
    assert rss_kib - first[0] < 1024
    assert fds <= 12
    assert threads == 9


def test_all_contexts_are_used_up(helper_path: Path, tmp_path: Path) -> None:
    """By a filter: other tests need the real ones meanwhile."""
    if "io_setup" not in NUMBERS:
        pytest.skip("the filters know the calls of x86-64 and arm64 only")
    limit = int(Path("/proc/sys/fs/aio-max-nr").read_text())
    program, *words = under("io_setup:0=4096:EAGAIN")
    with Helper(Path(program), [*words, helper_path, f"--scratch={tmp_path}", *SIZES]) as helper:
        helper.receive()
        helper.send(point(queue_depth=4096))
        code, error = helper.fail()
    assert code == 71
    assert (error["op"], error["name"], error["id"]) == ("io_setup", "EAGAIN", 1)
    assert "fs.aio-nr" in error["message"]
    assert f"fs.aio-max-nr is {limit}" in error["message"]


def test_a_truncated_file_is_an_io_error(start: StartHelper, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(16 * MIB))
    helper = start(f"--file={path}", *SIZES)
    helper.receive()
    os.truncate(path, 0)
    helper.send(point(id=5))
    code, error = helper.fail()
    assert code == 74
    assert error["id"] == 5
    assert "moved 0 bytes" in error["message"]
    assert "of 65536 bytes at offset" in error["message"]


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_scratch_on_a_filesystem(start: StartHelper, filesystem: Callable[..., Filesystem], kind: str) -> None:
    folder = filesystem(kind).path
    helper = start(f"--scratch={folder}", *SIZES, "--allow-write")
    hello = helper.receive()
    check_hello(hello)
    live = kind != "btrfs"  # its device number is anonymous, without counters
    assert hello["counters"]["live"] == live
    for op in ("read", "write", "read"):
        answer = helper.ask(point(op=op, min_transfers=6))
        check_point(answer, transfers=6, transfer_bytes=4 * MIB)
        assert answer["cache"]["verdict"] == ("device" if live else "unknown")
    if live:
        assert answer["counters"]["read_bytes"] >= 24 * MIB
    assert helper.finish()[0] == 0
    assert [p.name for p in folder.iterdir() if p.name != "lost+found"] == []


@pytest.mark.parametrize(("kind", "nocow"), [("ext4", False), ("xfs", False), ("btrfs", True)])
def test_direct_writes_leave_the_page_cache_empty(
    start: StartHelper, filesystem: Callable[..., Filesystem], kind: str, nocow: bool
) -> None:
    helper = start(f"--scratch={filesystem(kind).path}", *SIZES, "--allow-write", *["--nocow"] * nocow)
    helper.receive()
    for op in ("write", "read", "write"):
        answer = helper.ask(point(op=op, min_ns=50_000_000, min_transfers=6))
        assert answer["cache"]["passing_bytes"] == 0
    assert helper.finish()[0] == 0


def test_writes_that_pass_through_the_page_cache_are_seen(
    start: StartHelper, filesystem: Callable[..., Filesystem]
) -> None:
    if tuple(map(int, platform.release().split(".")[:2])) < (6, 14):
        pytest.skip("before Linux 6.14 btrfs writes files with checksums directly")
    helper = start(f"--scratch={filesystem('btrfs').path}", *SIZES, "--allow-write")
    helper.receive()
    answer = helper.ask(point(op="write", min_ns=200_000_000, min_transfers=6))
    assert answer["cache"]["passing_bytes"] > 0
    assert helper.finish()[0] == 0


def test_nocow_on_a_filesystem_without_the_attribute(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    code, error = start(f"--scratch={filesystem('ext4').path}", *SIZES, "--nocow").fail()
    assert code == 66
    assert "omit --nocow" in error["message"]


def test_scratch_on_tmpfs(start: StartHelper) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or not os.access(shm, os.W_OK):
        pytest.skip("no tmpfs")
    helper = start(f"--scratch={shm}", *SIZES)
    code, messages = helper.finish()
    if code == 66:  # before Linux 6.6 tmpfs has no O_DIRECT
        assert "O_DIRECT" in messages[-1]["message"]
    else:
        assert code == 0
        assert not messages[0]["counters"]["live"]


def test_no_space(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    folder = filesystem("ext4", 16 * MIB).path
    code, error = start(f"--scratch={folder}", f"--span-bytes={64 * MIB}", f"--max-transfer-bytes={MIB}").fail()
    assert code == 74
    assert error["name"] == "ENOSPC"
    assert "free some space" in error["message"]
    assert str(folder) in error["message"]


def test_read_only_filesystem(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    folder = filesystem("ext4", 32 * MIB).path
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    code, error = start(f"--scratch={folder}", *SIZES).fail()
    assert code == 66
    assert error["name"] == "EROFS"


def test_the_fill_is_noise(start: StartHelper, filesystem: Callable[..., Filesystem]) -> None:
    """The content of the scratch file, read through /proc, neither compresses nor repeats."""
    zlib = pytest.importorskip("zlib")
    helper = start(f"--scratch={filesystem().path}", *SIZES)
    helper.receive()
    data = scratch_content(helper)
    assert len(data) == 16 * MIB
    assert len(zlib.compress(data, 1)) > len(data) * 0.999
    blocks = {data[at : at + 512] for at in range(0, len(data), 512)}
    assert len(blocks) == len(data) // 512


def scratch_content(helper: Helper) -> bytes:
    """Return the content of the unlinked file of the helper."""
    for fd in Path(f"/proc/{helper.process.pid}/fd").iterdir():
        if "(deleted)" in str(fd.readlink()):
            return fd.read_bytes()
    pytest.fail("no scratch file")
