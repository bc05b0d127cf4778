"""Standard output that cannot be written: an error and its exit code, never a traceback, in every command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aio_tuned.cli import output
from aio_tuned.errors import Exit, OutputError
from aio_tuned.profiles import codec
from aio_tuned.service import status
from aio_tuned.service.status import Status
from aio_tuned.storage import sweep_archive
from unit.support.builders import PROJECT, profile

COMMANDS = (
    "--help",
    "--version",
    "show --help",
    "show",
    "show --json",
    "show --format toml",
    "history",
    "history --json",
    "check-config",
    "check-config --json",
    "status",
    "status --json",
)
# These read a profile of the drive that holds the test's folder, whichever that is.
READERS = ("get PATH --default", "get PATH --default --json", "export json PATH --default", "export env PATH --default")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration with a profile, a finished sweep and a running daemon's status."""
    path = tmp_path / "aio-tuned.conf"
    path.write_text(f'[paths]\nprofiles = "{tmp_path}/etc"\nstate = "{tmp_path}/var"\nruntime = "{tmp_path}"\n')
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nvme-x.toml").write_text(codec.render(profile()))
    sweep_archive.keep(tmp_path / "var", profile(), "")
    status.write(tmp_path, Status(version="0.1.0", pid=os.getpid(), since=""))
    return path


def run(
    conf: Path,
    words: str,
    *,
    stdout: int | None = None,
    stderr: int = subprocess.PIPE,
    closed: tuple[int, ...] = (),
    path: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command with these streams, or with these descriptors closed."""

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    command = [str(conf.parent) if word == "PATH" else word for word in words.split()]
    return subprocess.run(
        [sys.executable, "-m", "aio_tuned", "--config", conf, *command],
        stdout=stdout,
        stderr=stderr,
        preexec_fn=close,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{path or PROJECT}:{PROJECT}/daemon", "PYTHONUNBUFFERED": ""},
        timeout=60,
    )


@pytest.mark.parametrize("words", [*COMMANDS, *READERS])
def test_a_full_disk_is_one_line(conf: Path, words: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = run(conf, words, stdout=full.fileno())
    *remarks, said = done.stderr.decode().splitlines()
    assert said == "aio-tuned: standard output: cannot be written: No space left on device"
    assert all(remark.startswith("aio-tuned: ") for remark in remarks)
    assert done.returncode == Exit.PUBLISH


@pytest.mark.parametrize("words", [*COMMANDS, *READERS])
def test_a_closed_standard_output_is_one_line(conf: Path, words: str) -> None:
    done = run(conf, words, closed=(1,))
    *remarks, said = done.stderr.decode().splitlines()
    assert said == "aio-tuned: standard output: cannot be written: Bad file descriptor"
    assert all(remark.startswith("aio-tuned: ") for remark in remarks)
    assert done.returncode == Exit.PUBLISH


@pytest.mark.parametrize("words", [*COMMANDS, *READERS])
def test_a_closed_pipe_is_silent_and_no_success(conf: Path, words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(conf, words, stdout=writing)
    finally:
        os.close(writing)
    remarks = done.stderr.decode().splitlines()
    assert all("standard output" not in remark and remark.startswith("aio-tuned: ") for remark in remarks)
    assert done.returncode == 128 + signal.SIGPIPE


def test_the_first_error_is_the_one_that_is_reported(conf: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = run(conf, "export fio PATH --default --merge /nowhere", stdout=full.fileno())
    said = done.stderr.decode()
    assert said.splitlines()[-1].startswith("aio-tuned: /nowhere: not changed")
    assert "standard output" not in said
    assert "Exception ignored" not in said
    assert done.returncode == Exit.USAGE


@pytest.mark.parametrize("how", ["full", "closed"])
def test_a_message_that_nobody_reads_does_not_fail_the_command(conf: Path, how: str) -> None:
    (conf.parent / "etc/broken.toml").write_text("half")
    if how == "full":
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            done = run(conf, "show", stdout=subprocess.PIPE, stderr=full.fileno())
    else:
        done = run(conf, "show", stdout=subprocess.PIPE, closed=(2,))
    assert done.returncode == Exit.DATA
    assert b": measured" in done.stdout
    assert b"broken.toml" not in done.stdout


def test_a_file_does_not_get_the_number_of_a_closed_stream(conf: Path) -> None:
    """Else output would be written into the first file that the command opens."""
    seen = conf.parent / "seen"
    late = f"open({str(seen)!r}, 'w').write(str(os.open('/dev/null', os.O_RDONLY)))"
    (conf.parent / "sitecustomize.py").write_text(f"import atexit, os; atexit.register(lambda: {late})")
    run(conf, "show", closed=(0, 1), path=conf.parent)
    assert int(seen.read_text()) > 2


def test_the_streams_are_restored(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with output.lossy_stderr(), output.checked_stdout():
        assert (sys.stdout, sys.stderr) != before
        print("said")
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr().out == "said\n"


def test_other_errors_of_a_command_pass_through(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="a drive"), output.checked_stdout():
        raise OSError(5, "a drive")
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        with pytest.raises(OutputError, match="No space left"), output.checked_stdout():
            print("x")
