"""The command line of native/PROTOCOL.md §1."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from native.helper_process import StartHelper

SIZES = ["--span-bytes=1048576", "--max-transfer-bytes=1048576"]


@pytest.mark.parametrize(("option", "prefix"), [("--help", "usage: aio-sweep TARGET"), ("--version", "aio-sweep ")])
def test_help_and_version(helper_path: Path, option: str, prefix: str) -> None:
    done = subprocess.run([helper_path, option], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(prefix)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        ([], 64, "no target"),
        (SIZES, 64, "no target"),
        (["--scratch=/tmp"], 64, "--span-bytes"),
        (["--scratch=/tmp", "--span-bytes=1048576"], 64, "--max-transfer-bytes"),
        (["--scratch=/tmp", "--file=/tmp/x", *SIZES], 64, "a second target"),
        (["--scratch=/tmp", *SIZES, "--span-bytes=1"], 64, "twice"),
        (["--scratch=/tmp", "--span-bytes=1M", "--max-transfer-bytes=1"], 64, "plain decimal"),
        (["--scratch=/tmp", "--span-bytes=4096", "--max-transfer-bytes=8192"], 64, "at most --span-bytes"),
        (["--scratch=/tmp", *SIZES, "--offset-bytes=0"], 64, "not allowed with --scratch"),
        (["--scratch=/tmp", *SIZES, "--bogus"], 64, "unknown option"),
        (["--scratch=/tmp", *SIZES, "stray"], 64, "unknown option"),
        (["--scratch=/tmp", *SIZES, "--drop-caches=maybe"], 64, "auto, always, file or never"),
        (["--scratch=/tmp", "--span-bytes=1048577", "--max-transfer-bytes=4096"], 64, "alignment"),
        (["--scratch=/nowhere/at/all", *SIZES], 66, "No such file"),
        (["--scratch=/dev/null", *SIZES], 66, "Not a directory"),
        (["--scratch=/proc", *SIZES], 66, "/proc"),
        (["--file=/nowhere", *SIZES], 66, "No such file"),
        (["--file=/dev/null", *SIZES], 66, "not a regular file"),
        (["--file=/tmp", *SIZES], 66, "not a regular file"),
        (["--file=/proc/version", *SIZES], 66, "/proc/version"),
        (["--device=/dev/null", *SIZES], 66, "not a block device"),
        (["--device=/dev/null", *SIZES, "--allow-write"], 66, "not a block device"),
        (["--device=/nowhere", *SIZES], 66, "No such file"),
    ],
)
def test_refusals(start: StartHelper, arguments: list[str], code: int, part: str) -> None:
    helper = start(*arguments)
    got, error = helper.fail()
    assert got == code, error
    assert part in error["message"]
    assert part in helper.stderr
    assert not error["message"].endswith("\n")


def test_both_spellings_of_an_option(start: StartHelper, tmp_path: Path) -> None:
    helper = start("--scratch", tmp_path, "--span-bytes", "1048576", "--max-transfer-bytes", "65536")
    code, messages = helper.finish()
    assert code == 0
    assert [m["type"] for m in messages] == ["hello", "end"]


def test_file_too_small(start: StartHelper, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(4096))
    code, error = start(f"--file={tmp_path / 'file'}", *SIZES).fail()
    assert code == 66
    assert "too small" in error["message"]


def test_a_path_that_is_not_ascii_is_escaped(start: StartHelper, tmp_path: Path) -> None:
    folder = tmp_path / 'gr\u00fcn "\\\n\u2603'
    folder.mkdir()
    helper = start(f"--scratch={folder}", *SIZES)
    hello = helper.receive()
    path: str = hello["target"]["path"]
    assert path.encode("latin-1") == str(folder).encode()
