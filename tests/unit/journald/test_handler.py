"""Where log records go: with fields into systemd's journal, or as words to standard error."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.journald import handler as journald_handler
from aio_tuned.journald.events import EventId, fields

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTRA = fields(EventId.SWEEP_FAILED, "drive", reason="EIO")


@pytest.fixture
def stderr() -> Iterator[int]:
    """A descriptor that stands for the daemon's standard error."""
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def stream_of(descriptor: int) -> str:
    found = os.fstat(descriptor)
    return f"{found.st_dev}:{found.st_ino}"


def record(level: int, message: str) -> logging.LogRecord:
    made = logging.LogRecord("aio_tuned.service.supervisor", level, __file__, 1, message, None, None)
    made.__dict__ |= EXTRA
    return made


def test_the_journal_is_known_by_device_and_inode(stderr: int) -> None:
    assert journald_handler.is_journal(stream_of(stderr), stderr)
    device, inode = stream_of(stderr).split(":")
    for other in ("", "spam", f"{device}:{int(inode) + 1}", f"{int(device) + 1}:{inode}"):
        assert not journald_handler.is_journal(other, stderr)


def test_a_closed_standard_error_is_no_journal() -> None:
    with tempfile.TemporaryFile() as file:
        stream, closed = stream_of(file.fileno()), file.fileno()
    assert not journald_handler.is_journal(stream, closed)


def test_a_person_is_given_the_time(stderr: int) -> None:
    said = journald_handler.handler({}, stderr).format(record(logging.WARNING, "a: b"))
    assert said.endswith(" a: b")
    assert said[:2] == "20"


@pytest.mark.parametrize("real", [True, False])
def test_words_with_their_level_where_fields_cannot_be(
    monkeypatch: pytest.MonkeyPatch, stderr: int, real: bool
) -> None:
    """python3-systemd is missing, or standard error goes elsewhere than JOURNAL_STREAM says."""
    if real:
        monkeypatch.setitem(sys.modules, "systemd", None)
        monkeypatch.setitem(sys.modules, "systemd.journal", None)
    stream = stream_of(stderr) if real else "1:2"
    handler = journald_handler.handler({"JOURNAL_STREAM": stream}, stderr)
    assert handler.format(record(logging.WARNING, "a: b\nc")) == "<4>a: b\n<4>c"
    assert handler.format(record(logging.INFO, "a: b")) == "<6>a: b"


def test_records_keep_their_fields_on_the_way_to_the_journal(stderr: int) -> None:
    pytest.importorskip("systemd.journal", reason="needs python3-systemd; tests/vm tries it under systemd")
    handler: Any = journald_handler.handler({"JOURNAL_STREAM": stream_of(stderr)}, stderr)
    assert handler.formatter, "logging.basicConfig() would set another"
    sent: list[tuple[str, dict[str, Any]]] = []
    handler.send = lambda message, /, **named: sent.append((message, named))
    handler.handle(record(logging.WARNING, "a: failed: EIO \udcff"))
    ((message, named),) = sent
    assert message == "a: failed: EIO \\udcff", "the journal takes UTF-8 only"
    assert named["PRIORITY"] == "4"
    assert named["SYSLOG_IDENTIFIER"] == "aio-tuned"
    assert {key: named[key] for key in EXTRA} == EXTRA
