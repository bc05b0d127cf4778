"""Protocol 2 of the stand-ins for aio-sweep: options, request lines and answers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.helper.protocol import parse_hello, parse_point, request_line
from fakes.simulated.request_line import BadRequestError, Limits, parse
from unit.support.builders import FAKE_HELPER, GIB, MIB, PROJECT, request, setting

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.measurement import Request

STAND_INS = (FAKE_HELPER, PROJECT / "tests/fakes/simulated_aio_sweep.py")
LIMITS = Limits(alignment_bytes=512, max_transfer_bytes=64 * MIB, allow_write=True)
WORDS = ("--scratch=/x", f"--span-bytes={GIB}", f"--max-transfer-bytes={64 * MIB}", "--drop-caches=auto")
PSYNC = request(
    setting(block=4096, depth=1, threads=64, single=True), id=1, engine="psync", access="random", seed=7, purpose="pass"
)
IO_URING = request(setting(block=256 << 10, depth=32), id=2, engine="io_uring", access="random", min_ns=50_000_000)
WIDE = replace(PSYNC, setting=replace(PSYNC.setting, io_parallelism=128))
MIXED = replace(PSYNC, id=3, direction="write", read_percent=70)
GROUPS = request(id=4, groups=4)
HUGE = request(id=5, memory="huge")
NEW_FILE = request(id=6, direction="write", new_file=True)
ALL = (PSYNC, IO_URING, MIXED, GROUPS, HUGE, NEW_FILE)


@pytest.mark.parametrize("asked", ALL, ids=lambda asked: str(asked.id))
def test_what_the_tuner_writes_is_read_as_it_was_meant(asked: Request) -> None:
    assert parse(request_line(asked), LIMITS) == asked


@pytest.mark.parametrize(
    ("asked", "old", "new", "said"),
    [
        (PSYNC, "queue_depth=1", "queue_depth=2", "psync has 1"),
        (PSYNC, "engine=psync", "engine=posix", "none of libaio, io_uring, psync"),
        (WIDE, "engine=psync ", "", "io_parallelism=128: .* more than 64 threads"),
        (PSYNC, "seed=7", "seed=7 groups=16", "with 16 groups more than 512 threads"),
        (IO_URING, "transfer_bytes=67108864", "transfer_bytes=66977792", "not a multiple of block_size"),
        (IO_URING, "access=random", "access=backwards", "none of sequential, random"),
        (PSYNC, "op=read", "op=read read_percent=70", "only with"),
        (MIXED, " read_percent=70", "", "goes with op=mixed"),
        (PSYNC, "op=read", "op=read fixed_buffers=1", "only with engine=io_uring"),
        (PSYNC, "op=read", "op=read new_file=1", "needs op=write"),
        (NEW_FILE, "new_file=1", "new_file=1 groups=2", "sequential access and one group"),
        (GROUPS, "transfer_bytes=67108864", "transfer_bytes=67107840", "not a multiple of io_parallelism"),
        (HUGE, "memory=huge", "memory=small", "none of consumer, huge, hugetlb"),
    ],
)
def test_a_line_that_breaks_a_rule_is_refused(asked: Request, old: str, new: str, said: str) -> None:
    line = request_line(asked)
    assert old in line
    with pytest.raises(BadRequestError, match=said):
        parse(line.replace(old, new), LIMITS)


@pytest.mark.parametrize("asked", [PSYNC, replace(PSYNC, access="sequential", seed=0)])
def test_threads_of_psync_need_no_equal_parts(asked: Request) -> None:
    odd = replace(asked, transfer_bytes=65 * 4096)
    assert parse(request_line(odd), LIMITS) == odd


@pytest.mark.parametrize("asked", ALL, ids=lambda asked: str(asked.id))
def test_protocol_1_knows_none_of_it(asked: Request) -> None:
    with pytest.raises(BadRequestError, match="not a key of a point"):
        parse(request_line(asked), replace(LIMITS, protocol=1))


def said(program: Path, lines: str, *words: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, str(program), *WORDS, *words]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("program", STAND_INS, ids=lambda path: path.stem)
def test_a_stand_in_answers_every_request_of_protocol_2(program: Path) -> None:
    lines = "".join(request_line(asked) + "\n" for asked in ALL)
    code, messages = said(program, lines, "--protocol=2", "--buffer=huge", "--allow-write")
    assert code == 0
    of_type = {kind: [each for each in messages if each["type"] == kind] for kind in ("hello", "point", "end")}
    hello = parse_hello(of_type["hello"][0])
    assert of_type["hello"][0]["protocol"] == 2
    assert hello.no_engine == {"libaio": "", "io_uring": "", "psync": ""}
    assert (hello.thp_policy, hello.mean_run_bytes > 0) == ("madvise", True)
    samples = [parse_point(point, asked) for point, asked in zip(of_type["point"], ALL, strict=True)]
    assert samples[0].requests == len(samples[0].transfers_ns) * 64 * MIB // 4096
    assert all(sample.return_ns > 0 and sample.again == 0 for sample in samples)
    assert len(samples[3].groups_ns) == 4
    assert max(samples[3].groups_ns) <= samples[3].elapsed_ns
    mixed = samples[2]
    assert mixed.device_read_bytes + mixed.device_write_bytes >= mixed.bytes
    assert mixed.device_write_bytes == pytest.approx(0.3 * mixed.bytes, rel=0.01)
    written = sum(sample.device_write_bytes for sample in samples)
    assert of_type["end"][0]["bytes_written"] == pytest.approx(GIB + written, abs=2)


@pytest.mark.parametrize("program", STAND_INS, ids=lambda path: path.stem)
def test_a_stand_in_of_protocol_1_refuses_new_keys(program: Path) -> None:
    code, messages = said(program, request_line(PSYNC) + "\n", "--allow-write")
    hello = next(message for message in messages if message["type"] == "hello")
    assert (hello["protocol"], "engines" in hello) == (1, False)
    assert code == messages[-1]["code"] == 65
    assert "not a key of a point" in messages[-1]["message"]
