from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from datetime import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from aio_tuned.config.load import Config
from aio_tuned.errors import Exit
from aio_tuned.helper.protocol import Tick
from aio_tuned.service.worker import messages as wire
from aio_tuned.service.worker.__main__ import _ProgressReporter
from aio_tuned.service.worker.messages import Deferred, Failed, Job
from aio_tuned.sweep.progress import SweepProgress
from unit.support.builders import FAKE_HELPER, PROJECT, device

if TYPE_CHECKING:
    from aio_tuned.service.worker.messages import Message

# Of the sweep itself only the daemon tier can tell: it needs a block device.


def a_job(tmp_path: Path, *, config: Config | None = None, helper: Path = FAKE_HELPER) -> Job:
    # A number that no device has, so that nobody's counters and sensors are asked.
    return Job(
        device=device(node=tmp_path / "nvme0n1", device_number="0:0"),
        # The host that the tests run on need not be quiet.
        config=config or Config(profiles=tmp_path / "etc", state=tmp_path / "var", drop_caches="file"),
        seed=7,
        helper=helper,
        checkpoint=tmp_path / "var/journals/x.journal",
        ledger=tmp_path / "var/written.journal",
    )


def worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "aio_tuned.service.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={"PYTHONPATH": str(PROJECT / "daemon"), "PATH": "/usr/bin:/bin"},
    )


def work(job: Job) -> tuple[int, list[Message], str]:
    """(exit code, what it said, its standard error). As the daemon does, its standard input is left open."""
    with worker() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            wire.send(job, process.stdin)
            said = [wire.from_line(line) for line in process.stdout]
            code = process.wait(30)
        finally:
            process.kill()
        return code, said, process.stderr.read().decode()


def test_a_drive_that_has_gone_is_an_error_of_ours(tmp_path: Path) -> None:
    code, said, err = work(a_job(tmp_path))
    assert code == 0
    (final,) = said
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.TARGET
    assert final.reason.startswith(f"{tmp_path}/nvme0n1: no such file or directory")
    assert err == ""
    assert not (tmp_path / "etc").exists()
    assert not (tmp_path / "var/journals").exists()


def test_a_target_that_is_no_block_device_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / "nvme0n1").symlink_to("/dev/null")
    code, said, err = work(a_job(tmp_path))
    (final,) = said
    assert (code, err) == (0, "")
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.TARGET
    assert "not a directory, file or block device" in final.reason


def test_a_helper_that_is_not_there(tmp_path: Path) -> None:
    code, said, err = work(a_job(tmp_path, helper=Path("/no/helper")))
    (final,) = said
    assert (code, err) == (0, "")
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.HELPER
    assert "/no/helper" in final.reason


def test_in_quiet_hours_it_gives_way_before_anything_else(tmp_path: Path) -> None:
    always = ((time(0), time(12)), (time(12), time(0)))
    config = Config(state=tmp_path / "var", quiet_hours=always)
    code, said, err = work(a_job(tmp_path, config=config, helper=Path("/no/helper")))
    (final,) = said
    assert (code, err) == (0, "")
    assert isinstance(final, Deferred)
    assert "quiet hours" in final.reason
    assert 0 < final.seconds <= 86400


def test_progress_is_told_in_words(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    reporter = _ProgressReporter(cast("Any", None))
    reporter.tick(Tick(phase="fill", bytes=1 << 20, total_bytes=4 << 20))
    at = SweepProgress(
        direction="read",
        points_done=1,
        points_planned=4,
        repeating=False,
        best_bytes_per_s=1e9,
        written_bytes=0,
        left_ns=10**9,
    )
    reporter.update(at)
    reporter.update(replace(at, points_done=4, repeating=True))
    said = [wire.from_line(line) for line in capfdbinary.readouterr().out.splitlines(keepends=True)]
    assert [message.doing for message in said if isinstance(message, wire.Progress)] == [
        "writing test data",
        "read: 1/4 settings",
        "read: 4/4 settings, comparing the finalists",
    ]


def test_it_ends_without_a_job() -> None:
    sent = io.BytesIO()
    wire.send(a_job(Path("/nowhere")), sent)
    for given in (b"", sent.getvalue()[:100]):
        with worker() as process:
            out, _ = process.communicate(given, timeout=30)
        assert out == b""
        assert process.returncode != 0


@pytest.mark.parametrize("folder", ["var", "var/written.journal"])
def test_a_ledger_that_cannot_be_kept_is_no_reason_to_die(tmp_path: Path, folder: str) -> None:
    if folder == "var":
        (tmp_path / "var").write_text("")
    else:
        (tmp_path / folder).mkdir(parents=True)
    code, said, err = work(a_job(tmp_path))
    (final,) = said
    assert (code, err) == (0, "")
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.TARGET
