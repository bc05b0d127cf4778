from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.config.load import parse_config
from aio_tuned.errors import Exit
from aio_tuned.profiles.codec import parse, render
from aio_tuned.service.worker import messages as wire
from aio_tuned.service.worker.messages import (
    Deferred,
    Disagreed,
    Done,
    Dropped,
    Failed,
    Final,
    Job,
    Message,
    Noted,
    Paused,
    Progress,
    Started,
    Unrecorded,
    Zeroing,
    from_line,
    to_line,
)
from unit.support.builders import PROJECT, device, profile, setting

CONF = """
[[match]]
transport = "tcp"
tune = true
[sweep]
time_budget = "3m"
[throttle]
quiet_hours = ["22:00-06:00"]
max_celsius = 70
"""


def a_job() -> Job:
    return Job(
        device=device(members=("nvme0n1", "nvme1n1")),
        config=parse_config(CONF, "test"),
        seed=7,
        helper=Path("/opt/aio-sweep"),
        checkpoint=Path("/var/lib/aio-tuned/journals/x.journal"),
        ledger=Path("/var/lib/aio-tuned/written.journal"),
        settings={"read": (setting(depth=4), setting(depth=8)), "write": ()},
        against=profile(),
        others=(profile(), profile(state="stale")),
    )


# --- the job ---------------------------------------------------------------------------------------------


def test_a_job_arrives_as_it_was_sent() -> None:
    pipe = io.BytesIO()
    wire.send(a_job(), pipe)
    pipe.write(b"more")
    pipe.seek(0)
    assert wire.receive(pipe) == a_job()
    assert pipe.read() == b"more"


def test_a_job_is_there_before_the_pipe_is_closed() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb") as writer:
        wire.send(a_job(), writer)
        assert wire.receive(reader) == a_job()


def test_a_job_arrives_in_another_process() -> None:
    pipe = io.BytesIO()
    wire.send(a_job(), pipe)
    code = (
        "import sys; from aio_tuned.service.worker import messages as job; sys.path.append(sys.argv[1]);"
        " from unit.service.worker.test_messages_between import a_job; print(job.receive(sys.stdin.buffer) == a_job())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, PROJECT / "tests"],
        input=pipe.getvalue(),
        capture_output=True,
        check=False,
        env={"PYTHONPATH": str(PROJECT / "daemon")},
        timeout=60,
    )
    assert done.stdout == b"True\n", done.stderr


def test_a_job_that_is_cut_short_is_none() -> None:
    pipe = io.BytesIO()
    wire.send(a_job(), pipe)
    for kept in (0, 1, len(pipe.getvalue()) - 1):
        with pytest.raises((EOFError, ValueError, pickle.UnpicklingError)):
            wire.receive(io.BytesIO(pipe.getvalue()[:kept]))


# --- the messages ----------------------------------------------------------------------------------------

REASONS = st.text()
FIGURES = st.floats(0, 1e15)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Started, where=REASONS),
    st.builds(Noted, text=REASONS),
    st.builds(
        Progress,
        doing=REASONS,
        share=FIGURES,
        left_s=FIGURES,
        best_bytes_per_s=FIGURES,
        written_bytes=st.integers(0, 1 << 63),
    ),
    st.builds(Paused, reason=REASONS),
    st.builds(Unrecorded, hour=st.integers(), count=st.integers()),
    st.builds(Dropped),
    st.builds(Zeroing),
    st.builds(Done, text=REASONS, trouble=REASONS),
    st.builds(Disagreed, reason=REASONS),
    st.builds(Deferred, reason=REASONS, seconds=FIGURES),
    st.builds(Failed, reason=REASONS, exit_code=st.sampled_from(Exit) | st.integers(0, 255)),
)


@given(MESSAGES)
def test_a_message_is_one_line_and_is_read_as_it_was_said(message: Message) -> None:
    line = to_line(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert from_line(line) == message


def test_every_message_can_be_read() -> None:
    known = {name for name, kind in vars(wire).items() if kind in get_args(Message)}
    assert known == {
        *("Started", "Noted", "Progress", "Paused", "Unrecorded", "Dropped", "Zeroing"),
        *("Done", "Disagreed", "Deferred", "Failed"),
    }
    assert known == set(wire._TYPES)
    assert set(get_args(Final)) < set(get_args(Message))


def test_a_profile_goes_in_one_line() -> None:
    message = from_line(to_line(Done(text=render(profile()))))
    assert isinstance(message, Done)
    assert parse(message.text) == profile()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"what?\n",
        b"\xff\xfe\n",
        b"1\n",
        b"null\n",
        b"[]\n",
        b'"Done"\n',
        b"{}\n",
        b'{"type": "Done"}\n',
        b'{"type": "Done", "text": "x", "more": 1}\n',
        b'{"type": "Job"}\n',
        b'{"type": ["Done"]}\n',
        b'{"type": null}\n',
        b'{"reason": "x"}\n',
        to_line(Disagreed(reason="x"))[:-3],
    ],
)
def test_whatever_else_is_said_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_line(line)


def test_an_exit_code_is_a_number_on_the_wire() -> None:
    assert json.loads(to_line(Failed(reason="x", exit_code=Exit.TARGET)))["exit_code"] == 66
