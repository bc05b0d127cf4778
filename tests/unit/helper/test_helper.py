from __future__ import annotations

import asyncio
import gc
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.errors import AioTunedError, DeferredError, Exit, HelperError, MeasurementError
from aio_tuned.helper.process import NO_SPACE_RETRY_S, Helper, RawWriteRefusedError, RequestFailedError, find
from aio_tuned.helper.protocol import Tick, arguments, parse_hello, parse_point, request_line
from aio_tuned.model.measurement import Request, Sample
from aio_tuned.search import grid
from aio_tuned.sweep.order import Order, SweepOutcome
from aio_tuned.sweep.run import run_sweep
from unit.support.builders import (
    FAKE_HELPER,
    GIB,
    MIB,
    PROJECT,
    SMALL_GRID,
    UNKILLABLE_HELPER,
    request,
    scratch_target,
    setting,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aio_tuned.model.measurement import BufferPages
    from aio_tuned.model.target import Target

ORDER = Order(
    settings={"read": grid.settings(SMALL_GRID), "write": grid.settings(SMALL_GRID)},
    max_transfer_bytes=64 * MIB,
    time_budget_ns=20_000_000_000,
    write_budget_bytes=64 * GIB,
    tolerance=0.01,
    seed=1,
)
WORDS = arguments(
    scratch_target(),
    allow_write=True,
    max_transfer_bytes=64 * MIB,
    drop_caches="auto",
    counters=(),
    expect_devices=("259:1",),
    expect_diskseq=9,
)


# --- request lines ---------------------------------------------------------------------------------------


def parse_line(line: str) -> dict[str, str]:
    verb, *pairs = line.split(" ")
    assert verb == "point"
    words = dict(pair.split("=", 1) for pair in pairs)
    assert len(words) == len(pairs)
    return words


REQUESTS = st.builds(
    Request,
    id=st.integers(0, 2**63 - 1),
    direction=st.sampled_from(["read", "write"]),
    setting=st.builds(
        setting, st.integers(1, 1 << 17).map(lambda n: n * 512), st.integers(1, 4096), st.integers(1, 64), st.booleans()
    ),
    transfer_bytes=st.integers(1, 1 << 40),
    min_ns=st.integers(0, 10**12),
    min_transfers=st.integers(1, 65536),
    max_bytes=st.integers(0, 2**63 - 1),
    drop_caches=st.sampled_from([None, True, False]),
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(REQUESTS)
def test_a_request_line_says_all_of_the_request(asked: Request) -> None:
    line = request_line(asked)
    assert line.isascii()
    assert "\n" not in line
    assert len(line) < 1024
    words = parse_line(line)
    drop = words.pop("drop_caches", None)
    assert {None: None, "1": True, "0": False}[drop] is asked.drop_caches
    assert words.pop("op") == asked.direction
    numbers = {key: int(value) for key, value in words.items()}
    assert numbers == {
        "id": asked.id,
        "block_size": asked.setting.block_size,
        "queue_depth": asked.setting.queue_depth,
        "io_parallelism": asked.setting.io_parallelism,
        "overlap_events": asked.setting.overlap_events,
        "single_submit": asked.setting.single_submit,
        "transfer_bytes": asked.transfer_bytes,
        "min_ns": asked.min_ns,
        "min_transfers": asked.min_transfers,
        "max_bytes": asked.max_bytes,
    }


# --- the command line ------------------------------------------------------------------------------------


def test_arguments_of_a_scratch_target() -> None:
    assert (
        "--scratch=/mnt/nvme",
        f"--span-bytes={GIB}",
        f"--max-transfer-bytes={64 * MIB}",
        "--drop-caches=auto",
        "--protocol=2",
        "--expect-device=259:1",
        "--expect-diskseq=9",
        "--allow-write",
    ) == WORDS


def test_arguments_of_a_device_target() -> None:
    target = scratch_target(kind="device", path=Path("/dev/nvme0n1"), offset_bytes=MIB, no_write="no")
    words = arguments(
        target,
        allow_write=False,
        max_transfer_bytes=MIB,
        drop_caches="never",
        counters=(Path("/sys/x/stat"), Path("/sys/y/stat")),
        expect_devices=("259:1", "0:45"),
        expect_diskseq=None,
    )
    assert words == (
        "--device=/dev/nvme0n1",
        f"--span-bytes={GIB}",
        f"--max-transfer-bytes={MIB}",
        "--drop-caches=never",
        "--protocol=2",
        "--expect-device=259:1,0:45",
        f"--offset-bytes={MIB}",
        "--counters=/sys/x/stat,/sys/y/stat",
    )


def words_for(target: Target, buffer: BufferPages = "consumer") -> tuple[str, ...]:
    """The command line of a sweep that writes to the target, and has nothing else unusual."""
    return arguments(
        target,
        allow_write=True,
        max_transfer_bytes=MIB,
        drop_caches="auto",
        counters=(),
        expect_devices=("259:1",),
        expect_diskseq=None,
        buffer=buffer,
    )


def test_reserved_huge_pages_are_asked_for_only_by_name() -> None:
    usual = words_for(scratch_target(), "consumer")
    assert not any("--buffer" in word for word in usual)
    for buffer in ("huge", "hugetlb"):
        assert set(words_for(scratch_target(), buffer)) - set(usual) == {f"--buffer={buffer}"}


def test_a_target_whose_space_is_to_return_is_trimmed() -> None:
    words = words_for(scratch_target(trim=True))
    assert "--trim" in words
    assert "--trim" not in WORDS


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_helper_that_is_named_is_the_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named, other = executable(tmp_path / "named"), executable(tmp_path / "other")
    monkeypatch.setenv("AIO_TUNED_HELPER", str(other))
    assert find(named) == named
    assert find() != other, "the daemon's worker must not run a program from the environment"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(Path("named")) == named


def test_a_helper_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    for path in (tmp_path / "missing", tmp_path / "plain", tmp_path):
        with pytest.raises(HelperError, match="not found or not executable") as caught:
            find(path)
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == Exit.HELPER


# --- hello -----------------------------------------------------------------------------------------------

HELLO: dict[str, Any] = {
    "type": "hello",
    "protocol": 1,
    "helper": "x",
    "version": "0.1.0",
    "target": {"kind": "scratch", "path": "/mnt", "device_number": "259:1"},
    "dio_alignment_bytes": 512,
    "buffer": {"bytes": 256 * MIB, "backing": "thp", "huge_bytes": 128 * MIB, "locked": True},
    "page_cache": {"policy": "auto", "drop_caches": False, "residency": "none", "reason": "not root"},
    "counters": {"path": "", "live": True},
    "fill_bytes": GIB,
}


def test_hello() -> None:
    hello = parse_hello({**HELLO, "later": "key"})
    assert hello.buffer == "256 MiB, 128 MiB of it huge pages (thp), locked"
    assert (hello.version, hello.dio_alignment_bytes, hello.fill_bytes) == ("0.1.0", 512, GIB)
    assert (hello.drop_caches, hello.no_drop_reason, hello.counters_live) == (False, "not root", True)


def test_a_hello_of_protocol_2_says_what_the_buffer_and_the_engines_are() -> None:
    old = parse_hello(HELLO)
    assert (old.huge_share, old.mean_run_bytes, old.thp_policy) == (0.5, 0, "")
    assert (old.page_bytes, old.thp_bytes, old.reserved_page_bytes) == (0, 0, 0)
    assert old.no_engine == {"libaio": "", "io_uring": "not in this helper", "psync": "not in this helper"}
    buffer = {**HELLO["buffer"], "mean_run_bytes": 131072, "thp_policy": "madvise"}
    engines = {"libaio": "", "io_uring": "io_uring_setup: EPERM", "psync": "", "later": ""}
    new = parse_hello({**HELLO, "protocol": 2, "buffer": buffer, "engines": engines})
    assert (new.mean_run_bytes, new.thp_policy) == (131072, "madvise")
    assert new.no_engine == {"libaio": "", "io_uring": "io_uring_setup: EPERM", "psync": ""}


def test_a_hello_says_what_pages_the_host_has() -> None:
    sizes = {"page_bytes": 65536, "thp_bytes": 512 * MIB, "reserved_page_bytes": 2 * MIB}
    new = parse_hello({**HELLO, "protocol": 2, "buffer": {**HELLO["buffer"], **sizes}})
    assert (new.page_bytes, new.thp_bytes, new.reserved_page_bytes) == (65536, 512 * MIB, 2 * MIB)


@pytest.mark.parametrize(
    ("page_bytes", "dio_alignment_bytes", "share_bytes"),
    [(0, 512, 512), (4096, 512, 4096), (16384, 4096, 16384), (65536, 512, 65536), (4096, 16384, 16384)],
)
def test_the_share_of_a_thread_is_whole_pages(page_bytes: int, dio_alignment_bytes: int, share_bytes: int) -> None:
    buffer = {**HELLO["buffer"], "page_bytes": page_bytes}
    hello = parse_hello({**HELLO, "dio_alignment_bytes": dio_alignment_bytes, "buffer": buffer})
    assert hello.share_alignment_bytes == share_bytes


@pytest.mark.parametrize("protocol", [3, 0, "1", None, 1.5, [1]])
def test_another_protocol_is_refused(protocol: object) -> None:
    with pytest.raises(HelperError, match=r"aio-sweep: protocol version .* instead of 2; reinstall"):
        parse_hello({**HELLO, "protocol": protocol})


@pytest.mark.parametrize("key", ["dio_alignment_bytes", "buffer", "page_cache", "counters", "fill_bytes"])
@pytest.mark.parametrize("wrong", ["missing", None, "x", [], float("nan"), float("inf")], ids=repr)
def test_a_garbled_hello_is_refused(key: str, wrong: object) -> None:
    message = {name: value for name, value in HELLO.items() if name != key}
    if wrong != "missing":
        message[key] = wrong
    with pytest.raises(HelperError):
        parse_hello(message)


@pytest.mark.parametrize(
    ("key", "wrong"), [("dio_alignment_bytes", 0), ("dio_alignment_bytes", -1), ("fill_bytes", -1)]
)
def test_a_hello_with_numbers_that_cannot_be_is_refused(key: str, wrong: int) -> None:
    with pytest.raises(HelperError):
        parse_hello({**HELLO, key: wrong})


# --- points ----------------------------------------------------------------------------------------------

ASKED = request(id=7, transfer_bytes=1000)
POINT: dict[str, Any] = {
    "type": "point",
    "id": 7,
    "op": "read",
    "transfers_ns": [10, 12],
    "transfer_bytes": 1000,
    "bytes": 2000,
    "elapsed_ns": 22,
    "wall_ns": 30,
    "latency_ns": {"p50": 3, "p99": 4},
    "cache": {"dropped": True, "verdict": "device"},
    "counters": {"read_bytes": 2048, "write_bytes": 512},
}


def test_a_point() -> None:
    assert parse_point({**POINT, "later": 1}, ASKED) == Sample(
        request=ASKED,
        transfers_ns=(10, 12),
        bytes=2000,
        elapsed_ns=22,
        wall_ns=30,
        latency_p50_ns=3,
        latency_p99_ns=4,
        cache_verdict="device",
        cache_dropped=True,
        device_read_bytes=2048,
        device_write_bytes=512,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 8},
        {"op": "write"},
        {"transfer_bytes": 999},
        {"transfers_ns": []},
        {"transfers_ns": [10, 0], "elapsed_ns": 10},
        {"transfers_ns": [-10, 32]},
        {"transfers_ns": [10, 13]},
        {"elapsed_ns": 21},
        {"elapsed_ns": 0, "transfers_ns": []},
        {"bytes": 2001},
        {"bytes": 1000},
        {"bytes": 0},
        {"wall_ns": 21},
        {"cache": {"dropped": True, "verdict": "maybe"}},
        {"cache": {"dropped": True, "verdict": []}},
        {"cache": {"dropped": True, "verdict": None}},
        {"counters": {"read_bytes": -1, "write_bytes": 0}},
        {"latency_ns": {"p50": -1, "p99": 4}},
        {"cpu_user_ns": -1},
        {"cpu_user_ns": 9, "cpu_system_ns": -1},
    ],
    ids=json.dumps,
)
def test_a_point_that_contradicts_itself_or_the_request_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(HelperError) as caught:
        parse_point({**POINT, **changes}, ASKED)
    assert caught.value.exit_code == Exit.HELPER
    assert "7" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "cpu_ns"),
    [({}, 0), ({"cpu_user_ns": 3}, 3), ({"cpu_system_ns": 4}, 4), ({"cpu_user_ns": 3, "cpu_system_ns": 4}, 7)],
    ids=json.dumps,
)
def test_a_point_may_say_what_it_took_of_the_processor(said: dict[str, int], cpu_ns: int) -> None:
    assert parse_point({**POINT, **said}, ASKED).cpu_ns == cpu_ns


@pytest.mark.parametrize("key", ["cpu_user_ns", "cpu_system_ns"])
@pytest.mark.parametrize("wrong", [None, "x", {}, float("nan"), float("inf")], ids=repr)
def test_a_garbled_processor_time_is_refused(key: str, wrong: object) -> None:
    with pytest.raises(HelperError):
        parse_point({**POINT, key: wrong}, ASKED)


@pytest.mark.parametrize("key", [key for key in POINT if key != "type"])
@pytest.mark.parametrize("wrong", ["missing", None, "x", {}, float("nan"), float("inf")], ids=repr)
def test_a_garbled_point_is_refused(key: str, wrong: object) -> None:
    message = {name: value for name, value in POINT.items() if name != key}
    if wrong != "missing":
        message[key] = wrong
    with pytest.raises(HelperError):
        parse_point(message, ASKED)


# --- a running helper ------------------------------------------------------------------------------------


def children() -> list[str]:
    """Our child processes, zombies too."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread of asyncio's that has ended just now
            found += (task / "children").read_text().split()
    return found


async def with_helper(
    program: Path, work: Callable[[Helper], Awaitable[Any]], on_tick: Callable[[Tick], None] = lambda _: None
) -> Any:  # noqa: ANN401 - whatever the work gives
    async with await Helper.start(program, WORDS, on_tick) as helper:
        return await work(helper)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Any:  # noqa: ANN401 - a generator
    before = children()
    yield
    assert children() == before


def swept(program: Path = FAKE_HELPER, order: Order = ORDER) -> SweepOutcome:
    async def run() -> SweepOutcome:
        found: SweepOutcome = await with_helper(program, lambda helper: run_sweep(helper, order))
        return found

    return asyncio.run(run())


def ask(program: Path, *requests: Request) -> list[Sample]:
    async def work(helper: Helper) -> list[Sample]:
        await helper.hello()
        return [await helper.measure(asked) for asked in requests]

    async def run() -> list[Sample]:
        found: list[Sample] = await with_helper(program, work)
        return found

    return asyncio.run(run())


def script(tmp_path: Path, *lines: str) -> Path:
    """A helper that prints `lines` one after the other, each but the first when a request comes, and then leaves."""
    body = "\n".join(
        f"read request\necho '{line}'" if number else f"echo '{line}'" for number, line in enumerate(lines)
    )
    return executable(tmp_path / "helper", f"#!/bin/sh\n{body}\n")


@pytest.mark.parametrize("at", [1, 5])
@pytest.mark.parametrize(
    ("how", "exit_code", "words"),
    [
        ("die", Exit.HELPER, "aio-sweep: exited with code 3 without an error message"),
        ("garbage", Exit.HELPER, "invalid message b'what"),
        ("error", Exit.IO, "media error"),
        ("newer", Exit.HELPER, "protocol version 3 instead of 2"),
        ("lie", Exit.HELPER, "do not add up"),
        ("wrong-id", Exit.HELPER, "does not match request"),
    ],
)
def test_misbehaviour_is_a_helper_error(
    monkeypatch: pytest.MonkeyPatch, how: str, exit_code: Exit, words: str, at: int
) -> None:
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"misbehave": {"at": at, "do": how}}))
    with pytest.raises(HelperError, match=words) as caught:
        swept()
    assert caught.value.exit_code == exit_code


def test_a_scratch_file_that_was_given_up_for_others_is_no_failure(tmp_path: Path) -> None:
    said = json.dumps({"type": "error", "code": 75, "op": "space", "message": "/mnt: given up"})
    with pytest.raises(DeferredError, match="/mnt: given up") as caught:
        swept(script(tmp_path, said))
    assert caught.value.seconds == NO_SPACE_RETRY_S
    assert caught.value.exit_code == Exit.BUSY


@pytest.mark.parametrize(
    ("how", "words"), [("cache", "served from a cache"), ("foreign", "other processes used the drive")]
)
def test_a_device_that_cannot_be_trusted_is_a_measurement_error(
    monkeypatch: pytest.MonkeyPatch, how: str, words: str
) -> None:
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"misbehave": {"at": 1, "do": how}}))
    with pytest.raises(MeasurementError, match=rf"read: no usable measurement \({words}\); try again") as caught:
        swept()
    assert caught.value.exit_code == Exit.IO


def test_without_counters_a_sweep_goes_on_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"misbehave": {"at": 1, "do": "unknown"}}))
    outcome = swept()
    assert not outcome.hello.counters_live
    assert {sample.cache_verdict for sample in outcome.samples} == {"unknown"}


def test_a_silent_helper_can_be_cancelled_and_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 60 s that a helper may be silent cannot be set: what is tested here is that it is ended."""
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"misbehave": {"at": 3, "do": "silent"}}))

    async def run() -> None:
        await asyncio.wait_for(with_helper(FAKE_HELPER, lambda helper: run_sweep(helper, ORDER)), 0.7)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(run())


def test_a_cancellation_is_not_lost_however_fast_the_helper_talks(tmp_path: Path) -> None:
    """Before Python 3.12 asyncio.wait_for() swallows one that comes together with its result: Ctrl-C does nothing."""
    tick = json.dumps({"type": "tick", "phase": "fill", "bytes": 1, "total_bytes": 2})
    program = executable(tmp_path / "helper", f"#!/bin/sh\nexec yes '{tick}'\n")

    async def run() -> bool:
        helper = await Helper.start(program, WORDS)
        waiting = asyncio.ensure_future(helper.hello())
        await asyncio.sleep(0.2)
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=1)
        helper._process.kill()
        await asyncio.gather(waiting, return_exceptions=True)
        await helper.close()
        return bool(done)

    assert asyncio.run(run())


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (64, Exit.HELPER),
        (65, Exit.HELPER),
        (66, Exit.TARGET),
        (69, Exit.BUSY),
        (71, Exit.SYSTEM),
        (74, Exit.IO),
        (99, Exit.HELPER),
        (None, Exit.HELPER),
        ([], Exit.HELPER),
    ],
)
def test_an_error_line_has_its_own_exit_code(tmp_path: Path, code: object, exit_code: Exit) -> None:
    program = script(tmp_path, json.dumps({"type": "error", "code": code, "message": "it is broken"}))
    with pytest.raises(HelperError, match=r"^it is broken$") as caught:
        ask(program)
    assert caught.value.exit_code == exit_code


@pytest.mark.parametrize(
    ("code", "name", "may_continue"),
    [
        (65, "", True),
        (71, "EAGAIN", True),
        (74, "ENOSPC", True),
        (74, "EDQUOT", True),
        (74, "EIO", False),
        (74, "ENODEV", False),
        (66, "", False),
        (69, "", False),
        ([], [], False),
    ],
)
def test_a_failed_request_is_told_from_a_failed_target(
    tmp_path: Path, code: object, name: object, may_continue: bool
) -> None:
    said = json.dumps({"type": "error", "code": code, "name": name, "message": "it is broken"})
    with pytest.raises(HelperError, match=r"^it is broken$") as caught:
        ask(script(tmp_path, json.dumps(HELLO), said), request())
    assert isinstance(caught.value, RequestFailedError) == may_continue
    with pytest.raises(HelperError, match=r"^it is broken$") as caught:
        ask(script(tmp_path, said))
    assert not isinstance(caught.value, RequestFailedError), "nothing can be measured without a hello"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "invalid message"),
        ("[]", "invalid message"),
        ('"x"', "invalid message"),
        ("{}", "invalid message"),
        ("null", "invalid message"),
        ('{"type":"hello"', "invalid message"),
        ('{"type":"end"}', r"(message 'end' instead|terminated)"),
        ('{"type":"point"}', "message 'point' instead of 'hello'"),
        ('{"type":"news"}', "message 'news' instead of 'hello'"),
        ('{"type":["hello"]}', "instead of 'hello'"),
        ('{"type":"tick"}', "without an error message"),
        ('{"type":"tick","bytes":"x"}', "invalid message"),
        ('{"type":"tick","bytes":null}', "invalid message"),
        ("[" * 3000, "invalid message"),
    ],
)
def test_what_is_not_due_is_a_helper_error(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(HelperError, match=words) as caught:
        ask(script(tmp_path, line))
    assert caught.value.exit_code == Exit.HELPER


def test_a_line_without_end_is_a_helper_error(tmp_path: Path) -> None:
    program = executable(tmp_path / "helper", "#!/bin/sh\nhead -c 5000000 /dev/zero\n")
    with pytest.raises(HelperError, match="output line longer than 4 MiB"):
        ask(program)


def test_a_helper_that_is_killed_is_named_by_its_signal(tmp_path: Path) -> None:
    with pytest.raises(HelperError, match="killed by signal 9 without an error message"):
        ask(executable(tmp_path / "helper", "#!/bin/sh\nkill -9 $$\n"))


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    with pytest.raises(HelperError, match="cannot be run: Exec format error"):
        ask(executable(tmp_path / "helper", "\x7fELF nonsense"))


def test_ticks_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"fill_bytes": 5}))
    ticks: list[Tick] = []
    asyncio.run(with_helper(FAKE_HELPER, lambda helper: helper.hello(), ticks.append))
    assert ticks == [Tick(phase="fill", bytes=5, total_bytes=5)]


def test_a_request_that_is_not_allowed_is_a_helper_error(tmp_path: Path) -> None:
    program = executable(tmp_path / "helper", f'#!/bin/sh\nexec {shlex.quote(str(FAKE_HELPER))} "$1" "$2" "$3" "$4"\n')
    with pytest.raises(HelperError, match="not allowed"):
        ask(program, request(direction="write"))


def test_an_answer_may_be_long(tmp_path: Path) -> None:
    """65536 transfers, the most that one point may have."""
    times = [123_456_789_012] * 65536
    answer = {**POINT, "id": 1, "transfers_ns": times, "bytes": 65536 * 1000, "elapsed_ns": sum(times)}
    answer["wall_ns"] = sum(times)
    (tmp_path / "answer").write_text(json.dumps(answer) + "\n")
    program = executable(
        tmp_path / "helper",
        f"#!/bin/sh\necho '{json.dumps(HELLO)}'\nread request\ncat {tmp_path}/answer\n",
    )
    (found,) = ask(program, replace(ASKED, id=1))
    assert len(found.transfers_ns) == 65536


# --- the end ---------------------------------------------------------------------------------------------


def finish(program: Path) -> int:
    async def work(helper: Helper) -> int:
        await helper.hello()
        return await helper.finish()

    async def run() -> int:
        written: int = await with_helper(program, work)
        return written

    return asyncio.run(run())


def test_a_good_end_tells_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"fill_bytes": 4711}))
    assert finish(FAKE_HELPER) == 4711


@pytest.mark.parametrize(("end", "written"), [('{"type":"end"}', 0), ('{"type":"end","bytes_written":"x"}', 0)])
def test_an_end_without_a_count_is_none_written(tmp_path: Path, end: str, written: int) -> None:
    assert finish(executable(tmp_path / "helper", f"#!/bin/sh\necho '{json.dumps(HELLO)}'\necho '{end}'\n")) == written


def test_a_helper_that_leaves_without_an_end_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(HelperError, match="exited with code 0 without an error message"):
        finish(script(tmp_path, json.dumps(HELLO)))


def test_a_helper_that_says_end_and_fails_is_not_trusted(tmp_path: Path) -> None:
    program = executable(
        tmp_path / "helper", f"#!/bin/sh\necho '{json.dumps(HELLO)}'\nread x\necho '{{\"type\":\"end\"}}'\nexit 74\n"
    )
    with pytest.raises(AioTunedError):
        finish(program)


def test_the_helper_is_ended_by_sigterm_and_may_take_its_leave(tmp_path: Path) -> None:
    left = tmp_path / "left"
    program = executable(
        tmp_path / "helper",
        f"#!/bin/sh\ntrap 'echo bye > {left}; exit 0' TERM\necho '{json.dumps(HELLO)}'\nwhile :; do sleep 0.02; done\n",
    )
    started = time.monotonic()
    asyncio.run(with_helper(program, lambda helper: helper.hello()))
    assert left.read_text() == "bye\n"
    assert time.monotonic() - started < 5


def test_a_helper_with_a_full_pipe_can_leave(tmp_path: Path) -> None:
    program = executable(
        tmp_path / "helper",
        f"#!/bin/sh\ntrap '' TERM\necho '{json.dumps(HELLO)}'\nhead -c 3000000 /dev/zero\necho\n",
    )
    started = time.monotonic()
    asyncio.run(with_helper(program, lambda helper: helper.hello()))
    assert time.monotonic() - started < 5


def test_the_helper_is_in_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    program = executable(tmp_path / "helper", f"#!/bin/sh\ncut -d' ' -f6 /proc/$$/stat > {tmp_path}/session\n")
    with pytest.raises(HelperError):
        ask(program)
    assert int((tmp_path / "session").read_text()) != os.getsid(0)


# --- no end ----------------------------------------------------------------------------------------------

GRACE_S = 0.6
LATEST_S = 20.0  # 1 s more than that, on a machine that has other things to do


def close_of(program: Path, grace_s: float = GRACE_S) -> tuple[float, bool, list[Tick]]:
    """(seconds that close() took, whether the helper was stuck, ticks that came meanwhile)."""
    ticks: list[Tick] = []

    async def run() -> tuple[float, bool, list[Tick]]:
        helper = await Helper.start(program, WORDS, ticks.append, grace_s=grace_s)
        await helper.hello()
        ticks.clear()
        began = time.monotonic()
        await helper.close()
        return time.monotonic() - began, helper.stuck, ticks

    return asyncio.run(run())


def deaf(tmp_path: Path, loop: str) -> Path:
    """A helper that does not hear SIGTERM, nor the end of its standard input; it does `loop` after its hello."""
    return executable(tmp_path / "helper", f"#!/bin/bash\ntrap '' TERM\necho '{json.dumps(HELLO)}'\n{loop}\n")


def tick_line(phase: str) -> str:
    return json.dumps({"type": "tick", "phase": phase, "bytes": "N", "total_bytes": 100}).replace('"N"', "$n")


def ticking(phase: str, count: int) -> str:
    words = tick_line(phase).replace('"', '\\"')
    return f'for n in $(seq {count}); do echo "{words}"; sleep 0.1; done'


@pytest.mark.parametrize(
    "loop",
    ["while :; do sleep 0.05; done", ticking("point", 1000), ticking("fill", 1000), "exec yes", "exec cat /dev/zero"],
    ids=["silent", "point", "fill", "nonsense", "endless"],
)
def test_a_helper_that_does_not_end_is_killed_after_its_grace(tmp_path: Path, loop: str) -> None:
    took_s, stuck, ticks = close_of(deaf(tmp_path, loop))
    assert GRACE_S <= took_s < LATEST_S
    assert not stuck
    assert ticks == []


def test_a_helper_that_writes_raw_is_left_behind_and_not_killed(tmp_path: Path) -> None:
    """Not by close(), nor by what asyncio does with a process that is forgotten. What it has written it knows best."""

    async def run() -> tuple[Helper, int]:
        program = deaf(tmp_path, f"while [ ! -e {tmp_path}/end ]; do sleep 0.05; done; touch {tmp_path}/ended")
        helper = await Helper.start(program, WORDS, grace_s=GRACE_S, writes_raw=True)
        await helper.hello()
        await helper.close()
        return helper, helper.pid

    helper, pid = asyncio.run(run())
    assert helper.stuck
    assert helper.span == ""
    del helper
    gc.collect()
    time.sleep(0.2)
    assert Path(f"/proc/{pid}").exists()
    (tmp_path / "end").touch()
    until = time.monotonic() + 20
    while not (tmp_path / "ended").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("span", ["clean", "left"])
def test_the_last_line_says_what_became_of_a_raw_span(tmp_path: Path, span: str) -> None:
    end = json.dumps({"type": "end", "reason": "signal", "span": span})
    program = executable(
        tmp_path / "helper",
        f"#!/bin/bash\ntrap 'echo '\\''{end}'\\''; exit 0' TERM\necho '{json.dumps(HELLO)}'\nread\n",
    )

    async def run() -> str:
        helper = await Helper.start(program, WORDS, grace_s=5, writes_raw=True)
        await helper.hello()
        await helper.close()
        return helper.span

    assert asyncio.run(run()) == span


@pytest.mark.parametrize("op", ["openers", "counters", "check"])
def test_a_raw_write_is_refused_before_it_begins_or_fails(tmp_path: Path, op: str) -> None:
    said = json.dumps({"type": "error", "code": 69, "op": op, "span": "clean", "message": "/dev/x: no"})
    with pytest.raises(HelperError, match="/dev/x: no") as caught:
        swept(script(tmp_path, said))
    assert isinstance(caught.value, RawWriteRefusedError) is (op != "check")
    assert caught.value.exit_code == Exit.BUSY


@pytest.mark.parametrize("phase", ["zero", "trim"])
def test_a_helper_that_puts_right_what_it_has_written_is_given_the_time(tmp_path: Path, phase: str) -> None:
    # A tick begins the time anew; on a busy machine one may be late.
    grace_s, count = 2.0, 45
    program = deaf(tmp_path, f"{ticking(phase, count)}; echo done > {tmp_path}/zeroed")
    took_s, stuck, ticks = close_of(program, grace_s)
    assert (tmp_path / "zeroed").exists()
    assert took_s > 2 * grace_s
    assert not stuck
    assert [tick.bytes for tick in ticks][-1] == count
    assert {tick.phase for tick in ticks} == {phase}


def test_a_helper_that_zeroes_and_then_hangs_is_killed_all_the_same(tmp_path: Path) -> None:
    took_s, stuck, _ = close_of(deaf(tmp_path, f"{ticking('zero', 5)}; while :; do sleep 0.05; done"))
    assert took_s < 0.6 + LATEST_S
    assert not stuck


def test_a_helper_that_closes_its_output_and_stays_is_an_error(tmp_path: Path) -> None:
    program = executable(tmp_path / "helper", "#!/bin/sh\nexec sleep 60 >&- 2>&-\n")

    async def run() -> None:
        async with await Helper.start(program, WORDS, grace_s=GRACE_S) as helper:
            await helper.hello()

    with pytest.raises(HelperError, match="closed its output") as caught:
        asyncio.run(run())
    assert caught.value.exit_code == Exit.IO


def test_no_cancellation_comes_between_the_start_and_whoever_closes_the_helper(tmp_path: Path) -> None:
    """A raw drive that it has begun to fill would stay half written."""
    program = executable(tmp_path / "helper", "#!/bin/sh\nread line\n")

    async def run() -> None:
        starting = Helper.start(program, WORDS)
        with pytest.raises(StopIteration) as started:
            starting.send(None)
        await started.value.value.close()

    asyncio.run(run())


@pytest.mark.parametrize("asked", [True, False])
def test_a_helper_that_ends_at_once_has_one_reaper(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, asked: bool
) -> None:
    """A second one would warn "Unknown child process pid …, will report returncode 255"."""
    program = executable(tmp_path / "helper", "#!/bin/sh\nexit 3\n")

    async def run() -> set[int | None]:
        codes = set()
        for _ in range(100):
            helper = await Helper.start(program, WORDS, grace_s=20)
            if asked:
                with pytest.raises(HelperError, match="exited with code 3"):
                    await helper.hello()
            else:
                helper._ended = True  # no signal: how it ends is its own business
            await helper.close()
            codes.add(helper._process.returncode)
        return codes

    assert asyncio.run(run()) == {3}
    assert caplog.messages == []


def test_whoever_has_inherited_the_helpers_pipes_does_not_make_it_stuck(tmp_path: Path) -> None:
    program = deaf(tmp_path, f"sleep 100 & echo $! > {tmp_path}/child\nexit 0")
    took_s, stuck, _ = close_of(program)
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    assert took_s < LATEST_S
    assert not stuck


CLOSE = """
import asyncio, sys, time
from pathlib import Path
from aio_tuned.errors import HelperError
from aio_tuned.helper.process import Helper

async def work():
    helper = await Helper.start(Path(sys.argv[1]), (), grace_s=0.6)
    try:
        await helper.hello()
    except HelperError as error:
        sys.exit(f"not allowed: {error}")
    began = time.monotonic()
    await helper.close()
    print(helper.stuck, time.monotonic() - began < 20)

asyncio.run(work())
"""


@pytest.mark.parametrize("held", ["running", "exited"])
def test_a_helper_that_cannot_be_killed_is_stuck_and_left(tmp_path: Path, held: str) -> None:
    """In a process of its own, which must not wait for it either at its end."""
    tracer = tmp_path / "tracer"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CLOSE, UNKILLABLE_HELPER],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "daemon"), "TRACER_FILE": str(tracer), "HELD": held},
        timeout=30,
    )
    os.kill(int(tracer.read_text()), signal.SIGKILL)
    if "not allowed" in done.stderr:
        pytest.skip("tracing is not allowed here")
    assert (done.stdout, done.returncode) == ("True True\n", 0), done.stderr
    assert time.monotonic() - began < 30
