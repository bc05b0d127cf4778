"""The size of a consumer's kernel queues, by a count that is the whole host's."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from aio_tuned.launch.verify.queues import Queues
from old_kernel import NUMBERS
from processes import until

PID = 7


class Host:
    """Files like those of /proc: the host's count of requests, and the mappings of one process."""

    def __init__(self, proc: Path) -> None:
        self.proc = proc
        (proc / "sys/fs").mkdir(parents=True)
        (proc / str(PID)).mkdir()
        self.has(0, 0)

    def has(self, rings: int, count: int) -> None:
        maps = "7f00-7f01 r--p 00000000 00:00 0 \n" + rings * "7f02-7f03 rw-s 00000000 00:0c 9  /[aio] (deleted)\n"
        (self.proc / str(PID) / "maps").write_text(maps)
        (self.proc / "sys/fs/aio-nr").write_text(f"{count}\n")

    def depth(self, *looks: tuple[int, int], before: int | None = None, after: int | None = None) -> int | None:
        """Return the depth that is found after those looks, each of queues and the host's count."""
        queues = Queues(self.proc, before)
        for rings, count in looks:
            self.has(rings, count)
            queues.look({PID})
        if after is not None:
            self.has(0, after)
        return queues.depth()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "proc")


def test_queues_that_come_one_by_one_have_the_growth_of_the_count(host: Host) -> None:
    host.has(0, 500)
    assert host.depth((0, 500), (1, 532), (2, 564), (2, 564), (0, 500)) == 32


def test_a_process_without_a_queue_has_none(host: Host) -> None:
    assert host.depth((0, 0), (0, 0)) is None
    assert host.depth((0, 0), (0, 32), (0, 0)) is None


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(0, 16), (0, 0), (1, 32), (0, 16)], id="one that was there ends, and comes back"),
        pytest.param([(0, 16), (1, 48), (1, 64), (1, 48), (0, 16)], id="one comes and ends meanwhile"),
        pytest.param([(0, 16), (1, 32), (2, 80), (0, 16)], id="one ends between two of ours"),
        pytest.param([(0, 16), (2, 79), (0, 16)], id="no whole number for each"),
        pytest.param([(0, 16), (1, 16), (0, 16)], id="a queue without requests"),
        pytest.param([(0, 16), (1, 8), (0, 16)], id="fewer than before"),
    ],
)
def test_what_others_change_meanwhile_makes_it_unknown(host: Host, looks: list[tuple[int, int]]) -> None:
    host.has(0, 16)
    assert host.depth(*looks) is None


def test_requests_that_others_hold_at_the_end_make_it_unknown(host: Host) -> None:
    host.has(0, 16)
    assert host.depth((0, 16), (1, 48), after=0) is None


def test_requests_that_are_given_back_after_the_mapping_are_no_change(host: Host) -> None:
    """As by a process that ends: it has no mappings any more, but still the requests."""
    assert host.depth((0, 0), (2, 64), (0, 64), (0, 32), after=0) == 32


def test_a_count_from_before_the_queues_were_made_is_enough(host: Host) -> None:
    host.has(4, 628)
    assert host.depth((4, 628), (4, 628), before=500) == 32
    assert host.depth((4, 628), (4, 660), before=500) is None


def test_the_queues_of_this_process_are_counted() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    io_setup = NUMBERS.get("io_setup")
    if io_setup is None:
        pytest.skip("the system call's number is not known for this machine")

    def known() -> bool:
        contexts: list[ctypes.c_ulong] = []
        queues = Queues(Path("/proc"))
        try:
            for _ in range(2):
                queues.look({os.getpid()})
                context = ctypes.c_ulong(0)
                if libc.syscall(io_setup, 24, ctypes.byref(context)):
                    pytest.skip("no AIO here")
                contexts.append(context)
            queues.look({os.getpid()})
        finally:
            for context in contexts:
                libc.syscall(io_setup + 1, context)  # io_destroy, on both machines
        depth = queues.depth()
        assert depth in (None, 24)
        return depth is not None

    # Other tests may have queues meanwhile: then it is unknown, and never wrong.
    assert until(known)
