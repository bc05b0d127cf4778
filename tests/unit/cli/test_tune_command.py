"""`aio-tuned tune` with the stand-in for aio-sweep: --dry-run, --quiet, and output that is lost."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aio_tuned.cli.main import main, parser
from aio_tuned.errors import Exit
from aio_tuned.model.profile import CombinedResult, Result
from aio_tuned.profiles import codec
from unit.cli.test_main import QUICK, conf, drive, environment, left_with, patiently

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["conf", "drive"]  # fixtures

NO_ROOM = "No space left on device"


@pytest.fixture(autouse=True)
def _no_helper_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIO_TUNED_HELPER", raising=False)
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"read_bytes_per_s": 0.9e9, "write_bytes_per_s": 0.6e9}))


def words(drive: Path, *more: str) -> list[str]:
    return ["tune", str(drive), "--out", str(drive / "out"), *more, *QUICK]


def published(drive: Path) -> Path:
    (path,) = (drive / "out").glob("*.toml")
    codec.parse(path.read_text())
    return path


# --- what is printed ---------------------------------------------------------------------------------------


def test_a_run_begins_with_its_plan_and_ends_with_what_to_paste(
    drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert patiently(lambda: main(words(drive, "--time-budget", "60"))) == 0
    shown = capsys.readouterr()
    first, second, third, *_ = shown.err.splitlines()
    assert f" through {drive} (" in first
    assert second == "reads and writes, at most 1:00 and 25 GiB written"
    assert third.startswith("host page cache: ")
    chosen = codec.parse(published(drive).read_text()).read
    assert isinstance(chosen, Result)
    *_, paste = shown.out.partition("\nto paste:\n\n")
    assert f"block_size = {chosen.setting.block_size}\n" in paste
    assert f"queue_depth = {chosen.setting.queue_depth}\n" in paste
    assert paste.splitlines()[-1] == f"aio-tuned export deepspeed --profiles {drive}/out {drive}"
    assert f"\nprofile: {published(drive)}\n" in shown.out


def test_what_is_to_be_pasted_works(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert patiently(lambda: main(words(drive))) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    assert main(shlex.split(command)[1:]) == 0
    both = codec.parse(published(drive).read_text()).combined
    assert isinstance(both, CombinedResult)
    exported = json.loads(capsys.readouterr().out)
    assert exported["aio"]["block_size"] == both.setting.block_size


def test_quiet_prints_the_path_and_findings(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert patiently(lambda: main(words(drive, "-q", "--drop-caches", "never"))) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{published(drive)}\n"
    assert shown.err.splitlines()
    assert all(line.startswith(("! ", "/dev/")) for line in shown.err.splitlines())
    assert "! page cache: not dropped" in shown.err


def test_quiet_and_json_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert left_with(["tune", "x", "-q", "--json"]) == Exit.USAGE
    assert "not allowed with" in capsys.readouterr().err


# --- --dry-run ---------------------------------------------------------------------------------------------


def test_a_dry_run_prints_the_plan_and_does_nothing(
    drive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The helper would fail if it was started, and the folder of profiles would be made."""
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"misbehave": {"at": 0, "do": "crash"}}))
    assert main(words(drive, "--dry-run", "--time-budget", "90s")) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    first, *rows, last = shown.out.splitlines()
    assert f" through {drive} (" in first
    assert last == "dry run: nothing was measured, written or dropped"
    found = {line[2:18].strip(): line[18:] for line in rows}
    assert found["I/O"] == f"scratch file of 1 GiB in {drive}, deleted at the end"
    assert (found["read settings"], found["write settings"]) == ("20", "20")
    assert (found["time"], found["written"]) == ("at most 1:30", "at most 25 GiB")
    assert found["profile"].startswith(f"{drive}/out/")
    assert not (drive / "out").exists()


def test_a_dry_run_names_the_file_that_the_sweep_writes(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(drive, "--dry-run", "--json")) == 0
    planned = json.loads(capsys.readouterr().out)
    assert patiently(lambda: main(words(drive, "-q"))) == 0
    assert planned["file"] == str(published(drive))
    assert planned["dry_run"] is True
    assert planned["settings"] == {"read": 20, "write": 20}
    assert planned["after_choice"]["engines"] == ["psync", "io_uring"]
    assert 0 < planned["after_choice"]["time_budget_s"] <= planned["time_budget_s"] / 4


def test_a_dry_run_finds_what_would_prevent_the_sweep(
    drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(drive, "--dry-run", "--write-budget", "64M")) == Exit.USAGE
    assert "--read-only" in capsys.readouterr().err
    assert main(["tune", str(tmp_path / "missing"), "--dry-run", *QUICK]) == Exit.TARGET


# --- arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "0G", "0.0 MiB", "00b"])
def test_no_bytes_to_write_is_what_read_only_is_for(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert left_with(["tune", "x", "--write-budget", text]) == Exit.USAGE
    assert "--read-only" in capsys.readouterr().err


def test_a_write_budget_is_a_size() -> None:
    assert parser().parse_args(["tune", "x", "--write-budget", "0.5G"]).write_budget == 1 << 29


# --- output that is lost -----------------------------------------------------------------------------------


def shell(drive: Path, redirected: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the command in bash, `redirected`; its own exit code is the last line of standard error."""
    command = shlex.join([sys.executable, "-m", "aio_tuned", *words(drive, *more)])
    script = f"{redirected.replace('TUNE', command)}; echo ${{PIPESTATUS[0]}} >&2"
    return patiently_run(script)


def patiently_run(script: str) -> subprocess.CompletedProcess[str]:
    found: list[subprocess.CompletedProcess[str]] = []

    def run() -> int:
        done = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=False, env=environment(), timeout=120
        )
        found.append(done)
        return int(done.stderr.splitlines()[-1])

    patiently(run)
    return found[-1]


@pytest.mark.parametrize("how", ["TUNE | true", "TUNE 2>&1 | true", "TUNE --json | true"])
def test_a_closed_pipe_ends_no_sweep(drive: Path, how: str) -> None:
    """The reader ends before the sweep is complete: the profile is published, and 141 says that output was lost."""
    done = shell(drive, how.replace(" --json", ""), *(["--json"] if "--json" in how else []))
    assert done.stderr.splitlines()[-1] == "141"
    assert "Traceback" not in done.stderr
    assert published(drive).stat().st_size > 0


@pytest.mark.parametrize(
    ("how", "why", "more"),
    [
        ("TUNE > /dev/full", NO_ROOM, "--json"),
        ("TUNE > /dev/full", NO_ROOM, "--read-only"),
        ("TUNE >&-", "Bad file descriptor", "--json"),
        ("TUNE >&-", "Bad file descriptor", "--quiet"),
    ],
)
def test_output_that_cannot_be_written_says_that_the_profile_is_published(
    drive: Path, how: str, why: str, more: str
) -> None:
    done = shell(drive, how, more)
    *_, message, code = done.stderr.splitlines()
    assert code == str(int(Exit.PUBLISH))
    assert message == (
        f"aio-tuned: standard output: cannot be written: {why}; the profile is published: {published(drive)}"
    )
    assert "Traceback" not in done.stderr
