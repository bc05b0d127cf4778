from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import BusyError, NotRunningError, PrivilegeError, ProfileError
from aio_tuned.service import main, status
from aio_tuned.service.state_machine import Stage
from aio_tuned.service.status import DriveStatus, ExportStatus, Status, Sweeping
from unit.support.builders import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

SWEEPING = Sweeping(
    doing="read: 12/320 points", share=0.25, left_s=95.0, best_bytes_per_s=6.51e9, written_bytes=3 << 30
)
DRIVE = DriveStatus(
    name="nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1",
    node="/dev/nvme0n1",
    model="Samsung SSD 980 PRO 1TB",
    serial="S5GXNF0R123456",
    size_bytes=1 << 40,
    stage="published",
    reason="nothing has changed",
    since="2025-11-23T12:00:00+00:00",
)
WHO = "nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1 (nvme0n1): Samsung SSD 980 PRO 1TB, S5GXNF0R123456, 1T"
EXPORT = ExportStatus(consumer="kvikio", path="/mnt/x", file="/a", state="settings", device="nvme-y")
STATUS = Status(
    version="0.1.0",
    pid=os.getpid(),
    since="2025-11-23T12:00:00+00:00",
    drives=(DRIVE, replace(DRIVE, name="nvme-y", stage="sweeping", sweeping=SWEEPING)),
    exports=(EXPORT,),
    troubles=("/etc/aio-tuned: no space",),
)


@contextmanager
def held(runtime: Path) -> Iterator[None]:
    lock = main.hold_lock(runtime)
    try:
        yield
    finally:
        os.close(lock)


def killed(runtime: Path) -> int:
    """The number of a daemon that was killed while it held the lock."""
    code = "import os, sys; from pathlib import Path; from aio_tuned.service.main import hold_lock; "
    with subprocess.Popen(
        [sys.executable, "-c", code + "hold_lock(Path(sys.argv[1])); os.kill(os.getpid(), 9)", runtime],
        env={"PYTHONPATH": str(PROJECT / "daemon")},
    ) as process:
        assert process.wait(60) == -9
    return process.pid


# --- only one daemon -------------------------------------------------------------------------------------


def test_each_rule_has_a_line() -> None:
    none = replace(EXPORT, file="/b", state="defaults", device="", reason="/mnt/x: no such file or directory")
    failed = replace(none, file="/c", state="failed", reason="/c: not a regular file")
    text = status.describe(replace(STATUS, exports=(EXPORT, none, failed)))
    assert "\nexport /a (kvikio, /mnt/x): settings of nvme-y\n" in text
    assert "\nexport /b (kvikio, /mnt/x): no settings: /mnt/x: no such file or directory\n" in text
    assert "\nexport /c (kvikio, /mnt/x): failed: /c: not a regular file\n" in text


def test_a_drive_that_is_never_quiet_says_so() -> None:
    text = status.describe(replace(STATUS, drives=(replace(DRIVE, never_quiet="busy at every check for 25 h: logs"),)))
    assert "\n  busy at every check for 25 h: logs" in text
    assert "busy at every check" not in status.describe(STATUS)


def test_a_note_has_a_line_of_its_own() -> None:
    text = status.describe(replace(STATUS, drives=(replace(DRIVE, note="/dev/nvme0n1: 64 MiB were zeroed"),)))
    assert "\n  note: /dev/nvme0n1: 64 MiB were zeroed" in text
    assert "note:" not in status.describe(STATUS)


def test_only_one_can_hold_the_lock(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    with held(runtime):
        for _ in range(2):
            with pytest.raises(BusyError, match=f"as process {os.getpid()};") as raised:
                main.hold_lock(runtime)
            assert raised.value.exit_code == 69
    with held(runtime):
        assert (runtime / "daemon.lock").read_text() == f"{os.getpid()}\n"


def test_nobody_but_root_can_lock_the_daemon_out(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with held(tmp_path):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "daemon.lock").stat().st_mode) == 0o600


def test_the_lock_of_a_longer_number_leaves_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "daemon.lock").write_text("12345678901\n")
    with held(tmp_path):
        assert (tmp_path / "daemon.lock").read_text() == f"{os.getpid()}\n"


def test_a_daemon_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    assert killed(tmp_path) != os.getpid()
    with held(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_a_busy_error(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(BusyError, match="cannot be opened: "):
        main.hold_lock(tmp_path / "run")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
@pytest.mark.parametrize("exists", [True, False])
def test_a_daemon_that_is_not_roots_needs_privilege(exists: bool) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(0o755)
        runtime = Path(folder) / "run"
        if exists:
            with held(runtime):
                pass
        os.setresuid(65534, 65534, 0)
        try:
            with pytest.raises(PrivilegeError, match="permission denied; run the command as root") as raised:
                main.hold_lock(runtime)
        finally:
            os.setresuid(0, 0, 0)
    assert raised.value.exit_code == 77


def test_children_do_not_hold_the_lock(tmp_path: Path) -> None:
    with held(tmp_path):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with held(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


# --- the file --------------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for told in (STATUS, Status(version="0.1.0", pid=1, since="")):
        status.write(tmp_path, told)
        assert status.read(tmp_path) == told


def test_the_file_is_for_all_to_read_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        status.write(tmp_path, STATUS)
        status.write(tmp_path, STATUS)
    finally:
        os.umask(before)
    path = status.status_path(tmp_path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    status.write(tmp_path, STATUS)
    with status.status_path(tmp_path).open() as reader:
        status.write(tmp_path, replace(STATUS, drives=()))
        assert json.load(reader)["drives"]


def test_what_cannot_be_written_is_an_oserror_and_leaves_nothing(tmp_path: Path) -> None:
    status.status_path(tmp_path).mkdir()
    with pytest.raises(OSError, match=r"status"):
        status.write(tmp_path, STATUS)
    assert [found.name for found in tmp_path.iterdir()] == ["status.json"]
    with pytest.raises(OSError, match=r"nowhere"):
        status.write(tmp_path / "nowhere", STATUS)


def test_the_file_of_a_killed_daemon_does_not_count(tmp_path: Path) -> None:
    status.write(tmp_path, replace(STATUS, pid=killed(tmp_path)))
    with pytest.raises(BusyError, match="terminated unexpectedly"):
        status.read(tmp_path)


def test_without_a_daemon_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="systemctl start aio-tuned") as raised:
        status.read(tmp_path)
    assert raised.value.exit_code == 69


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_somebody_else_sees_that_it_is_there() -> None:
    told = replace(STATUS, pid=os.getppid())
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(0o755)
        status.write(Path(folder), told)
        os.setresuid(65534, 65534, 0)
        try:
            assert status.read(Path(folder)) == told
        finally:
            os.setresuid(0, 0, 0)


def of_another_version() -> Iterator[tuple[str, str]]:
    def table() -> dict[str, object]:
        with_sweep = replace(STATUS, drives=STATUS.drives[1:])
        return json.loads(json.dumps(asdict(with_sweep)))  # type: ignore[no-any-return]

    yield "nothing", ""
    yield "half", json.dumps(table())[:-5]
    yield "a list", "[]"
    yield "null", "null"
    yield "a later schema", json.dumps({**table(), "schema": status.SCHEMA + 1})
    for missing in ("schema", "drives", "troubles", "pid"):
        yield f"no {missing}", json.dumps({key: value for key, value in table().items() if key != missing})
    yield "a word for pid", json.dumps({**table(), "pid": "one"})
    yield "no process has that pid", json.dumps({**table(), "pid": 1 << 70})
    yield "more", json.dumps({**table(), "colour": "red"})
    yield "other drives", json.dumps({**table(), "drives": [{"name": "x"}]})
    yield "null for drives", json.dumps({**table(), "drives": None})
    yield "no list of drives", json.dumps({**table(), "drives": ["nvme-x"]})
    later = table()
    later["drives"][0]["sweeping"]["colour"] = "red"  # type: ignore[index]
    yield "a later sweep", json.dumps(later)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in of_another_version()])
def test_a_file_of_another_version_says_to_restart_the_daemon(tmp_path: Path, text: str) -> None:
    status.status_path(tmp_path).write_text(text)
    with pytest.raises(ProfileError, match="restart the daemon") as raised:
        status.read(tmp_path)
    assert raised.value.exit_code == 65


def test_names_that_are_no_utf_8_come_through(tmp_path: Path) -> None:
    told = replace(STATUS, drives=(replace(DRIVE, model="Müller\n\udcff"),))
    status.write(tmp_path, told)
    assert status.read(tmp_path) == told


# --- for a person ----------------------------------------------------------------------------------------

MEASURED = replace(
    DRIVE,
    published="measured",
    profile="/etc/aio-tuned/x.toml",
    measured_at="2025-11-23T12:00:00+00:00",
    read_bytes_per_s=6_512_000_000,
    write_bytes_per_s=3_950_000_000,
)
FIGURES = "  profile: measured, read 6.51 GB/s, write 3.95 GB/s, measured at 2025-11-23T12:00:00+00:00"
TEXTS: dict[str, tuple[DriveStatus, list[str]]] = {
    "settling": (
        replace(DRIVE, stage="settling", reason="it has just appeared", published="provisional"),
        ["  settling: it has just appeared", "  profile: provisional"],
    ),
    "queued": (
        replace(DRIVE, stage="queued", reason="quiet hours until 06:00", next_try="2025-11-23T06:00:00+00:00"),
        ["  queued: quiet hours until 06:00", "  next try: 2025-11-23T06:00:00+00:00"],
    ),
    "sweeping": (
        replace(DRIVE, stage="sweeping", reason="not measured yet", sweeping=SWEEPING),
        [
            "  sweeping: not measured yet",
            "  read: 12/320 points, 25%, best 6.51 GB/s, 3G written, at most 1:35 left",
        ],
    ),
    "published": (MEASURED, ["  published: nothing has changed", FIGURES]),
    "skipped": (
        replace(DRIVE, stage="skipped", reason="part of /dev/md0"),
        ["  skipped: part of /dev/md0"],
    ),
    "failed": (
        replace(MEASURED, stage="failed", reason="media error", next_try="2025-11-23T12:01:00+00:00"),
        ["  failed: media error", "  next try: 2025-11-23T12:01:00+00:00", FIGURES],
    ),
}


def described(*drives: DriveStatus, troubles: tuple[str, ...] = ()) -> list[str]:
    return status.describe(replace(STATUS, drives=drives, exports=(), troubles=troubles)).split("\n")


@pytest.mark.parametrize("stage", [stage.value for stage in Stage])
def test_the_text_of_every_stage(stage: str) -> None:
    drive, lines = TEXTS[stage]
    assert described(drive) == [WHO, *lines]


def test_a_sweep_that_waits_says_why() -> None:
    waiting = replace(
        SWEEPING, share=0.0, left_s=0.0, best_bytes_per_s=0.0, written_bytes=0, paused="others use the drive"
    )
    lines = described(replace(DRIVE, stage="sweeping", reason="due", sweeping=waiting))
    assert lines == [WHO, "  sweeping: due", "  read: 12/320 points, 0%, 0 written", "  paused: others use the drive"]


def test_the_confidence_is_beside_the_state() -> None:
    lines = described(replace(MEASURED, confidence="bounded"))
    assert lines[-1] == FIGURES.replace("profile: measured, ", "profile: measured (bounded), ")


def test_overrides_and_a_direction_without_figures() -> None:
    lines = described(replace(MEASURED, overridden=True, write_bytes_per_s=0))
    assert lines[-1] == ("  profile: measured, read 6.51 GB/s, measured at 2025-11-23T12:00:00+00:00, with overrides")


def test_of_two_with_one_name_the_later_one_says_whose_the_bare_name_is() -> None:
    says = "another drive (eui.1) owns the name nvme-X, and an override of that name"
    assert described(replace(MEASURED, namesake=says))[2] == f"  {says}"


def test_a_volume_has_neither_model_nor_serial() -> None:
    assert described(replace(DRIVE, name="md-uuid-1", node="/dev/md0", model="", serial=""))[0] == (
        "md-uuid-1 (md0): 1T"
    )


def test_troubles_come_last() -> None:
    assert described(DRIVE, troubles=("a", "b"))[-2:] == ["! a", "! b"]
    assert described(troubles=("a",)) == ["No tunable drives found.", "! a"]
    assert described() == ["No tunable drives found."]
