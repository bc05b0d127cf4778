from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.storage.append_log import AppendLog, rewrite
from unit.support.builders import PROJECT
from unit.support.limits import files_no_larger_than

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ENTRIES = st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=6)
LAST = {"after": "the accident"}


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "journal"


def write(path: Path, *entries: dict[str, Any]) -> None:
    _, journal = AppendLog.open(path)
    for entry in entries:
        journal.append(entry)
    journal.close()


def read(path: Path) -> list[dict[str, Any]]:
    entries, journal = AppendLog.open(path)
    journal.close()
    return entries


def line(text: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(text), text)


@settings(deadline=None)
@given(ENTRIES)
def test_what_is_written_is_read(entries: list[dict[str, Any]]) -> None:
    with scratch() as path:
        write(path, *entries)
        assert read(path) == entries


@settings(deadline=None)
@given(ENTRIES, st.data())
def test_cut_anywhere_it_is_a_prefix_and_goes_on(entries: list[dict[str, Any]], data: st.DataObject) -> None:
    with scratch() as path:
        write(path, *entries)
        whole = path.read_bytes()
        kept = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:kept])
        found = read(path)
        assert found == entries[: whole[:kept].count(b"\n")]
        write(path, LAST)
        assert read(path) == [*found, LAST]


@settings(deadline=None)
@given(ENTRIES.filter(bool), st.data())
def test_a_flipped_bit_ends_the_prefix_before_its_line(entries: list[dict[str, Any]], data: st.DataObject) -> None:
    with scratch() as path:
        write(path, *entries)
        whole = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(whole) - 1))
        before = whole[:place].count(b"\n")
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(whole)
        assert read(path) == entries[:before]
        write(path, LAST)
        assert read(path) == [*entries[:before], LAST]


@pytest.mark.parametrize(
    "content",
    [
        b"\n",
        b"hello\n",
        b"\0" * 4096,
        b"\xff\xfe\n",
        b'{"no": "checksum"}\n',
        b"00000000 \n",
        line(b'["no object"]'),
        line(b"no JSON"),
        line(b"\xff"),
        line(b"[" * 100_000),
        line(b'{"a":1}').rstrip(b"\n"),
        line(b'{"a":1}').upper(),
        line(b'{"a":1}').replace(b"\n", b"\r\n"),
        b" " + line(b'{"a":1}'),
    ],
)
def test_a_foreign_file_is_a_torn_tail_from_its_first_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    assert read(path) == []
    assert path.read_bytes() == b""
    write(path, LAST)
    assert read(path) == [LAST]


def test_good_lines_after_a_bad_one_are_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(line(b'{"a":1}') + b"torn" + line(b'{"a":2}') + line(b'{"a":3}'))
    assert read(path) == [{"a": 1}]
    assert path.read_bytes() == line(b'{"a":1}')


def test_a_line_is_checksum_and_json(tmp_path: Path) -> None:
    write(tmp_path / "journal", {"drive": "nvme-x\n", "bytes": 1, "share": 0.5})
    checksum, _, text = (tmp_path / "journal").read_text("ascii").partition(" ")
    assert json.loads(text) == {"drive": "nvme-x\n", "bytes": 1, "share": 0.5}
    assert checksum == f"{zlib.crc32(text.rstrip().encode()):08x}"


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_only_the_owner_may_read_it(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "opened", LAST)
        rewrite(tmp_path / "rewritten", [LAST])
    finally:
        os.umask(before)
    (tmp_path / "wide").write_bytes(b"")
    (tmp_path / "wide").chmod(0o666)
    write(tmp_path / "wide", LAST)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"opened": 0o600, "rewritten": 0o600, "wide": 0o600}


def test_an_entry_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    program = f"""
import os
from pathlib import Path
from aio_tuned.storage.append_log import AppendLog
_, journal = AppendLog.open(Path({str(path)!r}))
journal.append({{"n": 1}})
journal.append({{"n": 2}}, sync=True)
os.kill(os.getpid(), 9)
"""
    subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(PROJECT / "daemon")}, check=False
    )
    assert read(path) == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("room", range(0, 40, 3))
def test_an_append_without_room_leaves_the_journal_as_it_was(tmp_path: Path, room: int) -> None:
    path = tmp_path / "journal"
    _, journal = AppendLog.open(path)
    journal.append({"n": 1})
    before = path.read_bytes()
    with files_no_larger_than(len(before) + room), pytest.raises(OSError, match="too large"):
        journal.append({"n": "x" * 40}, sync=True)
    assert path.read_bytes() == before
    journal.append({"n": 2})
    journal.close()
    assert read(path) == [{"n": 1}, {"n": 2}]


def test_a_file_that_cannot_be_had_is_the_callers_to_handle(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AppendLog.open(tmp_path / "missing/journal")
    with pytest.raises(IsADirectoryError):
        AppendLog.open(tmp_path)


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    write(tmp_path / "journal", LAST)
    rewrite(tmp_path / "journal", [LAST])
    with files_no_larger_than(0), pytest.raises(OSError, match="too large"):
        rewrite(tmp_path / "journal", [LAST])
    with pytest.raises(OSError, match="Is a directory"):
        AppendLog.open(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@settings(deadline=None)
@given(ENTRIES, ENTRIES)
def test_a_rewritten_journal_has_the_new_entries_only(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    with scratch() as path:
        write(path, *old)
        rewrite(path, iter(new))
        assert read(path) == new
        write(path, LAST)
        assert read(path) == [*new, LAST]


def test_a_rewrite_without_room_leaves_the_old_journal_and_nothing_besides(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, {"n": 1})
    with files_no_larger_than(5), pytest.raises(OSError, match="too large"):
        rewrite(path, [{"n": 2}, {"n": 3}])
    assert read(path) == [{"n": 1}]
    assert [entry.name for entry in tmp_path.iterdir()] == ["journal"]


def test_a_reader_of_the_old_journal_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, {"n": 1})
    with path.open("rb") as reader:
        rewrite(path, [])
        assert reader.read() == line(b'{"n":1}')
    assert read(path) == []


def test_what_a_crashed_rewrite_left_is_gone_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".journal.a2c4e6g8").write_text("x" * 1000)
    rewrite(tmp_path / "journal", [{"n": 1}])
    assert [entry.name for entry in tmp_path.iterdir()] == ["journal"]
    assert read(tmp_path / "journal") == [{"n": 1}]
