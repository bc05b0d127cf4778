"""What the helper does where the kernel lacks a call or an answer: docs/reference/platforms.md lists these."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native.helper_process import MIB, Helper, point
from native.test_device import SIZE, SPAN, is_blank
from native.test_protocol import check_point
from old_kernel import (
    BEFORE_5_1,
    BEFORE_6_1,
    BEFORE_6_5,
    NO_DISKSEQ,
    NO_FALLOCATE,
    NO_POPULATE,
    NO_STATX,
    NO_TMPFILE,
    NONE_OF_THEM,
    NUMBERS,
    under,
)
from storage import visible_proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES = (f"--span-bytes={16 * MIB}", f"--max-transfer-bytes={4 * MIB}", "--protocol=2", "--drop-caches=file")


@pytest.fixture
def older(helper_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Helper]]:
    """Start the helper with these arguments, as on a kernel with `rules`."""
    if "madvise" not in NUMBERS:
        pytest.skip("the filters know the calls of x86-64 and arm64 only")
    proc = visible_proc(tmp_path_factory.mktemp("seen"))
    with ExitStack() as stack:

        def begin(*arguments: str | Path, rules: tuple[str, ...]) -> Helper:
            command = [*under(*rules), str(helper_path), f"--proc={proc}", *map(str, arguments)]
            return stack.enter_context(Helper(Path(command[0]), command[1:]))

        yield begin


@pytest.mark.parametrize(
    ("rule", "name"),
    [(NO_POPULATE, "ENODATA"), (NO_TMPFILE, "EROFS"), (NO_FALLOCATE, "EROFS"), (NO_DISKSEQ, "EIO")],
)
def test_the_rules_meet_the_calls_of_the_helper(
    older: Callable[..., Helper], loop_device: Callable[[int], Path], tmp_path: Path, rule: str, name: str
) -> None:
    """With an error that has no fallback, the helper ends with it."""
    target: tuple[str, ...] = (f"--scratch={tmp_path}", *SIZES)
    if rule == NO_DISKSEQ:
        target = (f"--device={loop_device(SIZE)}", *SPAN, "--expect-diskseq=1")
    code, error = older(*target, "--allow-write", rules=(f"{rule.rpartition(':')[0]}:{name}",)).fail()
    assert (code > 0, error["name"]) == (True, name)


@pytest.mark.parametrize(
    ("rules", "residency"),
    [((BEFORE_6_5,), "mincore"), ((BEFORE_6_5, "mincore:ENOSYS"), "none"), (("cachestat:EPERM",), "mincore")],
    ids=["before 6.5", "neither", "forbidden"],
)
def test_without_cachestat(
    older: Callable[..., Helper], tmp_path: Path, rules: tuple[str, ...], residency: str
) -> None:
    helper = older(f"--scratch={tmp_path}", *SIZES, rules=rules)
    assert helper.receive()["page_cache"]["residency"] == residency
    answer = helper.ask(point(min_transfers=3))
    check_point(answer, transfers=3, transfer_bytes=4 * MIB)
    assert answer["cache"]["verdict"] == "device"
    assert answer["cache"]["passing_bytes"] == 0
    assert helper.finish()[0] == 0


@pytest.mark.parametrize("rule", [BEFORE_6_1, NO_STATX], ids=["before 6.1", "without statx"])
def test_the_alignment_is_that_of_the_device(older: Callable[..., Helper], tmp_path: Path, rule: str) -> None:
    helper = older(f"--scratch={tmp_path}", *SIZES, rules=(rule,))
    hello = helper.receive()
    assert hello["dio_alignment_bytes"] == (hello["logical_block_bytes"] or os.statvfs(tmp_path).f_bsize)
    assert helper.ask(point())["type"] == "point"


@pytest.mark.parametrize("pages", ["consumer", "huge", "hugetlb"])
def test_without_populate(older: Callable[..., Helper], tmp_path: Path, pages: str) -> None:
    helper = older(f"--scratch={tmp_path}", *SIZES, f"--buffer={pages}", rules=(NO_POPULATE,))
    buffer = helper.receive()["buffer"]
    assert buffer["locked"]
    assert os.geteuid() or buffer["mean_run_bytes"] > 0
    assert helper.ask(point(op="read"))["type"] == "point"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (BEFORE_5_1, "this kernel has no io_uring; use Linux 5.6 or newer"),
        ("io_uring_setup:ENOSYS", "this kernel has no io_uring"),
        ("io_uring_setup:EPERM", "io_uring is forbidden here"),
    ],
)
def test_without_io_uring(older: Callable[..., Helper], tmp_path: Path, rule: str, reason: str) -> None:
    helper = older(f"--scratch={tmp_path}", *SIZES, rules=(rule,))
    engines = helper.receive()["engines"]
    assert engines["io_uring"].startswith(reason)
    assert (engines["libaio"], engines["psync"]) == ("", "")
    for engine in ("libaio", "psync"):
        answer = helper.ask(point(engine=engine, queue_depth=1, access="random"))
        check_point(answer, transfers=1, transfer_bytes=4 * MIB)
    helper.send(point(engine="io_uring", access="random"))
    code, error = helper.fail()
    assert (code, reason in error["message"]) == (65, True)


@pytest.mark.parametrize("rules", [(NO_FALLOCATE,), (NO_TMPFILE,), (NO_FALLOCATE, NO_TMPFILE)])
def test_scratch_files(older: Callable[..., Helper], tmp_path: Path, rules: tuple[str, ...]) -> None:
    helper = older(f"--scratch={tmp_path}", *SIZES, "--allow-write", rules=rules)
    assert helper.receive()["fill_bytes"] == 16 * MIB
    assert list(tmp_path.iterdir()) == []
    answer = helper.ask(point(op="write", min_transfers=2))
    check_point(answer, transfers=2, transfer_bytes=4 * MIB)
    assert helper.finish()[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_without_disk_sequence_numbers(older: Callable[..., Helper], loop_device: Callable[[int], Path]) -> None:
    device = f"--device={loop_device(SIZE)}"
    code, error = older(device, *SPAN, "--expect-diskseq=1", rules=(NO_DISKSEQ,)).fail()
    assert code == 66
    assert "omit --expect-diskseq on Linux before 5.15" in error["message"]
    assert older(device, *SPAN, rules=(NO_DISKSEQ,)).receive()["type"] == "hello"


def test_a_blank_device_is_written_without_any_of_them(
    older: Callable[..., Helper], loop_device: Callable[[int], Path]
) -> None:
    device = loop_device(SIZE)
    helper = older(f"--device={device}", *SPAN, "--protocol=2", "--allow-write", rules=NONE_OF_THEM)
    assert helper.receive()["page_cache"]["residency"] == "mincore"
    answer = helper.ask(point(op="write", min_transfers=3))
    check_point(answer, transfers=3, transfer_bytes=4 * MIB)
    assert helper.finish()[0] == 0
    assert is_blank(device)
