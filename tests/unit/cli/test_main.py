from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.cli.main import main, parser
from aio_tuned.config.load import load_config, parse_config
from aio_tuned.config.render import to_document
from aio_tuned.devices import resolve
from aio_tuned.errors import AioTunedError, ConfigError, Exit, TargetError, UsageError
from aio_tuned.helper.samples import to_table
from aio_tuned.model.target import Policy
from aio_tuned.profiles import codec
from aio_tuned.report.terminal import consumers
from aio_tuned.service import control, status
from aio_tuned.service import main as service_main
from aio_tuned.service.status import DriveStatus, Status
from aio_tuned.storage import sweep_archive
from unit.support.builders import FAKE_HELPER, PROJECT, consumer_profile, read_only_profile
from unit.support.builders import profile as a_profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMANDS = ("tune", "show", "history", "daemon", "status", "retune", "stop", "check-config")
QUICK = ("--grid", "block_size=1M", "--grid", "io_parallelism=1", "--seed", "7", "--helper", str(FAKE_HELPER))


@pytest.fixture(autouse=True)
def _no_helper_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIO_TUNED_HELPER", raising=False)
    # What the link of any drive can carry: a tune of a real one with more is refused.
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"read_bytes_per_s": 0.9e9, "write_bytes_per_s": 0.6e9}))


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "aio-tuned.conf"
    folders = {"profiles": "profiles", "state": "state", "runtime": "run"}
    path.write_text("[paths]\n" + "".join(f'{key} = "{tmp_path}/{name}"\n' for key, name in folders.items()))
    return path


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT / "daemon"), **changes}


def command(*words: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aio_tuned", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(**changes),
        timeout=60,
    )


def left_with(words: list[str]) -> object:
    """The exit code with which argparse leaves."""
    with pytest.raises(SystemExit) as left:
        parser().parse_args(words)
    return left.value.code


# --- exit codes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bogus"],
        ["tune"],
        ["tune", "a", "b"],
        ["tune", "x", "--bogus"],
        ["tune", "x", "--grid", "speed=1"],
        ["tune", "x", "--grid", "queue_depth"],
        ["tune", "x", "--grid", "queue_depth="],
        ["tune", "x", "--grid", "queue_depth=0"],
        ["tune", "x", "--grid", "queue_depth=4,x"],
        ["tune", "x", "--grid", "block_size=1000"],
        ["tune", "x", "--grid", "overlap_events=1"],
        ["tune", "x", "--grid", "overlap_events=yes"],
        ["tune", "x", "--grid", "block_size=" + "9" * 400],
        ["tune", "x", "--seed", "-1"],
        ["tune", "x", "--seed", "x"],
        ["tune", "x", "--seed", str(1 << 64)],
        ["tune", "x", "--time-budget", "0"],
        ["tune", "x", "--time-budget", "8 days"],
        ["tune", "x", "--write-budget", "0"],
        ["tune", "x", "--write-budget", "9" * 400],
        ["tune", "x", "--write-budget", "1\u212a"],
        ["tune", "x", "--drop-caches", "sometimes"],
        ["show", "a", "b"],
        ["check-config", "a", "b"],
        ["daemon", "x"],
        ["daemon", "--bogus"],
        ["status", "x"],
        ["retune"],
        ["retune", "a", "b"],
        ["stop"],
        ["stop", "x", "--force"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_wrong_usage_is_64_and_says_how_it_is_right(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert left_with(words) == 64
    out, err = capsys.readouterr()
    assert out == ""
    line, pointer = err.splitlines()
    command = f"aio-tuned {words[0]}" if words and words[0] != "bogus" else "aio-tuned"
    assert line.startswith(f"{command}: ")
    assert pointer == f"try '{command} --help'"


def test_the_codes_of_the_errors_a_user_can_meet(
    tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.conf").write_text("[sweep]\ntime_budget = 0\n")
    os.mkfifo(tmp_path / "pipe")
    out = str(tmp_path / "out")
    fake = ["--helper", str(FAKE_HELPER)]
    good = ["--config", str(conf)]
    table: list[tuple[list[str], Exit, int, str]] = [
        ([*good, "tune", f"{tmp_path}/missing", "--out", out, *fake], Exit.TARGET, 66, "missing: no such file"),
        ([*good, "tune", f"{tmp_path}/pipe", "--out", out, *fake], Exit.TARGET, 66, "not a directory, file or block"),
        ([*good, "tune", "/proc", "--out", out, *fake], Exit.TARGET, 66, "/proc: proc (device"),
        (
            [*good, "tune", str(tmp_path), "--out", out, "--helper", "/no/helper"],
            Exit.HELPER,
            70,
            "/no/helper: not found",
        ),
        ([*good, "tune", str(tmp_path), "--out", f"{tmp_path}/file", *fake], Exit.PUBLISH, 73, "not a folder; pass"),
        ([*good, "tune", str(tmp_path), "--out", f"{tmp_path}/file/x", *fake], Exit.PUBLISH, 73, "cannot be written"),
        (["--config", f"{tmp_path}/bad.conf", "tune", str(tmp_path), *fake], Exit.CONFIG, 78, "[sweep] time_budget"),
        (["--config", f"{tmp_path}/bad.conf", "show"], Exit.CONFIG, 78, "[sweep] time_budget"),
        (["--config", f"{tmp_path}/none.conf", "show"], Exit.CONFIG, 78, "none.conf: no such file"),
        (["--config", f"{tmp_path}/bad.conf", "check-config"], Exit.CONFIG, 78, "[sweep] time_budget"),
        ([*good, "check-config", f"{tmp_path}/none.conf"], Exit.CONFIG, 78, "none.conf: no such file"),
        ([*good, "show", "nvme-nobody"], Exit.TARGET, 66, "neither a path nor a profile in"),
        ([*good, "status"], Exit.BUSY, 69, "the daemon is not running; start it with"),
        ([*good, "status", "--json"], Exit.BUSY, 69, "systemctl start aio-tuned"),
        (
            [*good, "retune", "nvme-x"],
            Exit.BUSY,
            69,
            "the daemon is not running; start it with: systemctl start aio-tuned",
        ),
        (
            [*good, "stop", "nvme-x"],
            Exit.BUSY,
            69,
            "the daemon is not running; start it with: systemctl start aio-tuned",
        ),
        ([*good, "stop", f"{tmp_path}/missing"], Exit.TARGET, 66, "missing: no such file or directory"),
        ([*good, "stop", f"{tmp_path}/pipe"], Exit.TARGET, 66, "not a directory, file or block device"),
        ([*good, "retune", "/proc"], Exit.TARGET, 66, "/proc: proc (device"),
        (["--config", f"{tmp_path}/bad.conf", "daemon"], Exit.CONFIG, 78, "[sweep] time_budget"),
        (["--config", f"{tmp_path}/none.conf", "status"], Exit.CONFIG, 78, "none.conf: no such file"),
        (["--config", f"{tmp_path}/none.conf", "stop", "nvme-x"], Exit.CONFIG, 78, "none.conf: no such file"),
    ]
    for words, code, number, text in table:
        assert main(words) == code == number, words
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("aio-tuned: ")
        assert shown.err.count("\n") == 1
        assert text in shown.err, words


def test_the_codes_reach_the_shell(tmp_path: Path) -> None:
    for words, code in (
        (("tune",), 64),
        (("--config", tmp_path / "none.conf", "show"), 78),
        (("tune", tmp_path / "missing", "--out", tmp_path, "--helper", FAKE_HELPER), 66),
        (("tune", tmp_path, "--out", tmp_path, "--helper", "/no/helper"), 70),
    ):
        done = command(*words)
        assert (done.returncode, done.stdout) == (code, "")
        assert "Traceback" not in done.stderr


def test_a_run_that_is_refused_leaves_nothing_behind(tmp_path: Path, conf: Path) -> None:
    out = tmp_path / "out"
    words = ["--config", str(conf), "tune", str(tmp_path / "missing"), "--out", str(out)]
    assert main([*words, "--helper", "/no/helper"]) == Exit.HELPER
    assert not out.exists()
    assert main([*words, "--helper", str(FAKE_HELPER)]) == Exit.TARGET
    assert not out.exists() or list(out.iterdir()) == []


# --- help ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join)
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert left_with(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("usage: aio-tuned")
    if words == ["--help"]:
        assert all(name in out for name in COMMANDS)


def test_every_option_of_tune_has_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    left_with(["tune", "--help"])
    shown = capsys.readouterr().out
    for option in ("--raw", "--out", "--grid", "--seed", "--json", "--read-only", "--time-budget", "--write-budget"):
        assert option in shown


def test_help_where_the_terminal_knows_ascii_only() -> None:
    done = command("tune", "--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr


# --- --grid ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "grid"),
    [
        (["block_size=1M"], {"block_size": ["1M"]}),
        (["block_size=131072,1M"], {"block_size": [131072, "1M"]}),
        (["queue_depth=4,8"], {"queue_depth": [4, 8]}),
        (["overlap_events=true,false"], {"overlap_events": [True, False]}),
        (["queue_depth=4", "io_parallelism=2"], {"queue_depth": [4], "io_parallelism": [2]}),
        (["queue_depth=4", "queue_depth=8"], {"queue_depth": [8]}),
        ([], {}),
    ],
)
def test_grid_words(words: list[str], grid: dict[str, object]) -> None:
    arguments = parser().parse_args(["tune", "x", *(f"--grid={word}" for word in words)])
    assert dict(arguments.grid) == grid


def test_numbers_are_parsed() -> None:
    arguments = parser().parse_args(["tune", "x", "--time-budget", "3m", "--write-budget", "8G", "--seed", "007"])
    assert (arguments.time_budget, arguments.write_budget, arguments.seed) == (180.0, 8 << 30, 7)


def test_the_effort_is_one_of_three(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args(["tune", "x", "--effort", "thorough"]).effort == "thorough"
    assert parser().parse_args(["tune", "x"]).effort is None
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["tune", "x", "--effort", "lazy"])
    assert caught.value.code == 64
    assert "'lazy' is not one of quick, default, thorough" in capsys.readouterr().err


# --- show ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "profiles"
    path.mkdir()
    return path


def test_show_of_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--out", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{folder}: no profiles; run aio-tuned tune" in err
    assert main(["show", "--out", str(folder / "missing"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("how", ["all", "name", "file"])
def test_show_of_one(folder: Path, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "nvme-x.toml"
    path.write_text(codec.render(a_profile()))
    (folder / ".nvme-x.toml.tmp").write_text("half")
    (folder / "aio-tuned.conf").write_text("")
    target = {"all": [], "name": ["nvme-x"], "file": [str(path)]}[how]
    assert main(["show", "--out", str(folder), *target]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1: measured\n")
    assert str(path) in out
    assert main(["show", "--json", "--out", str(folder), *target]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document == {"file": str(path), "profile": codec.to_table(a_profile())}


def test_show_has_the_tables_of_consumers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "nvme-x.toml").write_text(codec.render(consumer_profile()))
    assert main(["show", "--out", str(folder)]) == 0
    assert "\n".join(consumers.lines(consumer_profile())) in capsys.readouterr().out


def test_show_of_several_is_in_the_order_of_their_names(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b", "a"):
        (folder / f"{name}.toml").write_text(codec.render(read_only_profile()))
    assert main(["show", "--json", "--out", str(folder)]) == 0
    assert [Path(one["file"]).name for one in json.loads(capsys.readouterr().out)] == ["a.toml", "b.toml"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"schema = 2\n", b"x = ["])
def test_show_of_a_broken_one_is_65_and_names_it(
    folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "broken.toml"
    path.write_bytes(content)
    for more in ([], ["broken"], ["--json"]):
        assert main(["show", "--out", str(folder), *more]) == 65
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"aio-tuned: {path}: ")


def test_a_broken_profile_does_not_hide_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a-broken.toml").write_text("half")
    (folder / "b.toml").write_text(codec.render(a_profile()))
    assert main(["show", "--out", str(folder)]) == Exit.DATA
    out, err = capsys.readouterr()
    assert "a-broken.toml" in err
    assert "measured" in out


def test_show_into_a_closed_pipe_is_no_traceback(folder: Path) -> None:
    for number in range(60):
        (folder / f"{number}.toml").write_text(codec.render(a_profile()))
    done = subprocess.run(
        [
            "bash",
            "-c",
            (
                f"{shlex.quote(sys.executable)} -m aio_tuned show --json --out {folder} | head -c 1 > /dev/null;"
                " exit ${PIPESTATUS[0]}"
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert done.stderr == ""
    assert done.returncode in (Exit.OK, Exit.IO, 128 + signal.SIGPIPE)


# --- check-config ----------------------------------------------------------------------------------------


def test_check_config_good(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop_in = Path(f"{conf}.d") / "10-x.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[sweep]\ntime_budget = 33\n")
    for words in (["check-config", str(conf)], ["--config", str(conf), "check-config"]):
        assert main(words) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.startswith(f"# read from {conf}, {drop_in}\n\n[grid]\n")
        assert 'time_budget = "33s"\n' in out
        assert parse_config(out, "x") == load_config(conf)
        assert main([*words, "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["files"] == [str(conf), str(drop_in)]
        assert document["config"]["sweep"]["time_budget"] == 33
        assert document["config"] == to_document(load_config(conf))


@pytest.mark.parametrize("text", ["[sweep]\nspeed = 1\n", "[tune]\n", "x", "[grid]\nqueue_depth = 0\n"])
def test_check_config_bad(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.conf"
    path.write_text(text)
    assert main(["check-config", str(path)]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"aio-tuned: {path}: ")


# --- the daemon ------------------------------------------------------------------------------------------


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """Where `conf` says that the daemon keeps its lock, its status and its socket."""
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def locked(runtime: Path) -> Iterator[None]:
    """As if a daemon ran."""
    lock = service_main.hold_lock(runtime)
    yield
    os.close(lock)


A_DRIVE = DriveStatus(
    name="nvme-x",
    node="/dev/nvme0n1",
    model="Model",
    serial="Serial",
    size_bytes=1 << 40,
    stage="failed",
    reason="media error",
    since="2025-11-23T12:00:00+00:00",
)
A_STATUS = Status(
    version="0.1.0", pid=1, since="2025-11-23T12:00:00+00:00", drives=(A_DRIVE,), troubles=("/etc is full",)
)


def test_status(conf: Path, runtime: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status.write(runtime, A_STATUS)
    assert main(["--config", str(conf), "status"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == status.describe(A_STATUS) + "\n"
    assert main(["--config", str(conf), "status", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(json.dumps(asdict(A_STATUS)))
    assert document["schema"] == 1


def test_status_of_another_version_is_65(conf: Path, runtime: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status.status_path(runtime).write_text('{"schema": 99}')
    assert main(["--config", str(conf), "status"]) == Exit.DATA
    out, err = capsys.readouterr()
    assert out == ""
    assert "restart the daemon" in err


@pytest.mark.usefixtures("locked")
def test_a_second_daemon_leaves_with_a_clear_message(tmp_path: Path, conf: Path) -> None:
    done = command("--config", conf, "daemon")
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr == (
        f"aio-tuned: {tmp_path}/run/daemon.lock: the daemon is already running as process {os.getpid()};"
        " stop it with: systemctl stop aio-tuned\n"
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["daemon.lock"]
    assert not (tmp_path / "profiles").exists()


def told(runtime: Path, *words: str, answer: str | AioTunedError = "it is done") -> tuple[int, list[dict[str, Any]]]:
    """(exit code of the command, what a daemon that answers so was asked)."""
    asked: list[dict[str, Any]] = []

    async def handle(request: Mapping[str, Any]) -> str:
        asked.append(dict(request))
        if isinstance(answer, AioTunedError):
            raise answer
        return answer

    async def talk() -> int:
        server = await control.serve(control.socket_path(runtime), handle)
        try:
            return await asyncio.to_thread(main, words)
        finally:
            server.close()

    return asyncio.run(talk()), asked


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["retune", "nvme-x"], {"do": "retune", "name": "nvme-x", "force": False}),
        (["retune", "nvme-x", "--force"], {"do": "retune", "name": "nvme-x", "force": True}),
        (["stop", "nvme-x"], {"do": "stop", "name": "nvme-x"}),
    ],
)
def test_what_the_daemon_is_told(
    conf: Path, runtime: Path, words: list[str], request_: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(runtime, "--config", str(conf), *words) == (0, [request_])
    assert capsys.readouterr() == ("it is done\n", "")
    for error in (TargetError("nvme-x is not there"), UsageError("nothing to do")):
        code, asked = told(runtime, "--config", str(conf), *words, answer=error)
        assert (code, asked) == (error.exit_code, [request_])
        assert capsys.readouterr() == ("", f"aio-tuned: {error}\n")


def test_a_folder_stands_for_the_drive_below_it(
    drive: Path, conf: Path, runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = resolve.device(resolve.resolve(drive)).name
    for target in (drive, conf):
        _, asked = told(runtime, "--config", str(conf), "stop", str(target))
        assert asked == [{"do": "stop", "name": name}]
    capsys.readouterr()


# --- tune, where the temporary folder is on a block device -----------------------------------------------


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A folder that can be tuned: with the stand-in nothing is written there."""
    try:
        place = resolve.resolve(tmp_path)
        node = resolve.device(place).node
    except TargetError as error:
        pytest.skip(f"{tmp_path} cannot be tuned: {error}")
    if not node.exists() or resolve.usage(place, resolve.device(place), Policy()).free_bytes < 1 << 29:
        pytest.skip(f"{tmp_path} cannot be tuned: no {node}, or no room")
    return tmp_path


def patiently(run: Any) -> Any:  # noqa: ANN401 - whatever the run gives
    """Again while another test run holds the lock on the same disk."""
    end = time.monotonic() + 30
    while (code := run()) == Exit.BUSY and time.monotonic() < end:
        time.sleep(0.2)
    return code


def test_tune_publishes_a_profile_and_its_samples(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = drive / "out"
    assert patiently(lambda: main(["tune", str(drive), "--out", str(out), *QUICK])) == 0
    shown = capsys.readouterr()
    (path,) = out.glob("*.toml")
    assert {file.name for file in out.iterdir()} == {path.name, f"{path.stem}.samples.jsonl", "history"}
    found = codec.parse(path.read_text())
    assert (found.state, found.evidence.seed, found.evidence.grid_points) == ("measured", 7, 20)
    samples = [json.loads(line) for line in (out / f"{path.stem}.samples.jsonl").read_text().splitlines()]
    assert len(samples) == found.evidence.visits
    (kept,) = sweep_archive.list_sweeps(out, path.stem)
    assert kept.parent == out / "history" / path.stem
    stored = sweep_archive.load(kept)
    assert stored.profile == found
    assert [json.loads(json.dumps(to_table(one))) for one in stored.samples] == samples
    assert None not in {one.at_s for one in stored.samples}
    assert f"\nprofile: {path}\n" in shown.out
    assert "read 1/2: every setting once: 1 of " in shown.err
    assert "\x1b" not in shown.out + shown.err


def test_json_prints_one_document_and_nothing_else(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", str(drive), "--out", str(drive / "out"), "--json", "--read-only", *QUICK]
    assert patiently(lambda: main(words)) == 0
    out, _ = capsys.readouterr()
    document = json.loads(out)
    assert set(document) == {"profile", "file", "samples_file", "kept_because"}
    assert document["profile"]["write"] == {"skipped": "--read-only was given"}
    assert codec.to_table(codec.parse(Path(document["file"]).read_text())) == document["profile"]
    assert Path(document["samples_file"]).exists()


def in_another_second() -> None:
    """The history names sweeps by the second, and with the stand-in two fit into one."""
    now = int(time.time())
    while int(time.time()) == now:
        time.sleep(0.02)


def test_a_partial_run_does_not_replace_a_better_profile(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = drive / "out"
    words = ["tune", str(drive), "--out", str(out), *QUICK]
    assert patiently(lambda: main(words)) == 0
    (path,) = out.glob("*.toml")
    text, samples = path.read_text(), (out / f"{path.stem}.samples.jsonl").read_text()
    capsys.readouterr()
    in_another_second()
    assert patiently(lambda: main([*words, "--read-only"])) == 0
    said = capsys.readouterr().err
    assert f"{path}: kept, because this sweep is worse: it has no write figures" in said
    assert "to publish its result anyway, repeat it with --replace" in said
    assert (path.read_text(), (out / f"{path.stem}.samples.jsonl").read_text()) == (text, samples)
    assert len(sweep_archive.list_sweeps(out, path.stem)) == 2, "it is in the history"
    in_another_second()
    assert patiently(lambda: main([*words, "--read-only", "--replace"])) == 0
    assert ": kept," not in capsys.readouterr().err
    assert 'skipped = "--read-only was given' in path.read_text()


def test_show_finds_the_profile_of_a_folder(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = drive / "out"
    assert main(["show", str(drive), "--out", str(out)]) == Exit.TARGET
    assert "run aio-tuned tune" in capsys.readouterr().err
    assert patiently(lambda: main(["tune", str(drive), "--out", str(out), "--json", *QUICK])) == 0
    capsys.readouterr()
    assert main(["show", str(drive), "--out", str(out)]) == 0
    assert ": measured" in capsys.readouterr().out


def test_a_history_that_cannot_be_kept_fails_no_sweep(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = drive / "out"
    out.mkdir()
    (out / "history").write_text("")
    assert patiently(lambda: main(["tune", str(drive), "--out", str(out), "--json", *QUICK])) == 0
    shown = capsys.readouterr()
    assert Path(json.loads(shown.out)["file"]).exists()
    (said,) = [line for line in shown.err.splitlines() if line.startswith("aio-tuned: ")]
    assert str(out / "history") in said
    assert said.endswith("the profile is published, but the history lacks it")


@pytest.mark.parametrize(
    ("how", "code"), [("die", 70), ("garbage", 70), ("error", 74), ("newer", 70), ("lie", 70), ("cache", 74)]
)
def test_a_sweep_that_fails_publishes_nothing(
    drive: Path, monkeypatch: pytest.MonkeyPatch, how: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_AIO_SWEEP", json.dumps({"misbehave": {"at": 5 if how != "cache" else 1, "do": how}}))
    out = drive / "out"
    assert patiently(lambda: main(["tune", str(drive), "--out", str(out), *QUICK])) == code
    assert list(out.iterdir()) == []
    assert "aio-tuned: " in capsys.readouterr().err


# --- signals ---------------------------------------------------------------------------------------------


def children_of(process: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        # A helper that outlives the tuner holds its standard error open.
        for left in (*children_of(process.pid), process.pid):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)
        process.communicate(timeout=10)


SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


def end_by(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """(exit code, rest of standard error) after the signal; the helper must be gone."""
    helpers = children_of(process.pid)
    assert len(helpers) == 1
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert not any(Path(f"/proc/{helper}").exists() for helper in helpers)
    return process.returncode, err


@SIGNALS
def test_a_signal_ends_a_tune_and_leaves_nothing(
    drive: Path, started: list[subprocess.Popen[str]], number: int, code: int
) -> None:
    out = drive / "out"
    slow = json.dumps({"misbehave": {"at": 9, "do": "silent"}})

    def start() -> int | None:
        process = subprocess.Popen(
            [sys.executable, "-m", "aio_tuned", "tune", drive, "--out", out, *QUICK],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(FAKE_AIO_SWEEP=slow),
        )
        started.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("read 1/2: "):
                return None
        return process.wait()

    assert patiently(start) is None
    got, err = end_by(started[-1], number)
    assert got == code
    assert err.splitlines()[-1].startswith(f"aio-tuned: ended by {signal.Signals(number).name}")
    assert "Traceback" not in err
    assert list(out.iterdir()) == []


SILENT_SWEEP = """
import sys
from pathlib import Path
from aio_tuned.sweep.one_shot import run_interruptibly
from aio_tuned.errors import AioTunedError
from aio_tuned.helper.process import Helper

async def work():
    words = ("--scratch=/x", "--span-bytes=1", "--max-transfer-bytes=1", "--drop-caches=auto")
    async with await Helper.start(Path(sys.argv[1]), words) as helper:
        await helper.hello()
        print("ready", file=sys.stderr, flush=True)
        await helper._next("point")

try:
    run_interruptibly(work())
except AioTunedError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@SIGNALS
def test_a_signal_ends_the_helper(started: list[subprocess.Popen[str]], number: int, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SILENT_SWEEP, FAKE_HELPER], stderr=subprocess.PIPE, text=True, env=environment()
    )
    started.append(process)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    got, err = end_by(process, number)
    assert (got, err.count("\n")) == (code, 1)
    assert "nothing was published" in err


# --- whose configuration it is ---------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_configuration_that_the_caller_names_may_be_the_callers(
    conf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(conf, 12345, 0)
    assert main(["check-config", str(conf)]) == Exit.OK, "it may be installed under another owner"
    for caller in ("", "54321"):
        monkeypatch.setenv("SUDO_UID", caller)
        assert main(["--config", str(conf), "check-config"]) == Exit.CONFIG
        assert f"{conf}: not trusted: owned by user 12345 instead of root" in capsys.readouterr().err
    monkeypatch.setenv("SUDO_UID", "12345")
    assert main(["--config", str(conf), "check-config"]) == Exit.OK
    conf.chmod(0o664)
    assert main(["--config", str(conf), "check-config"]) == Exit.CONFIG


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_the_daemons_configuration_is_roots_whoever_started_it(
    conf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_UID", "12345")
    os.chown(conf, 12345, 0)
    assert main(["--config", str(conf), "daemon"]) == Exit.CONFIG
    assert f"{conf}: not trusted: owned by user 12345 instead of root" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("which", ["profiles", "state", "run"])
def test_a_daemon_does_not_start_in_folders_of_others(conf: Path, which: str) -> None:
    folder = conf.parent / which
    folder.mkdir()
    folder.chmod(0o775)
    with pytest.raises(ConfigError, match=f"{folder}: not trusted: writable by other users"):
        service_main.run(service_main.load_config(conf), service_main.loader(conf, service_main.load_config(conf)))
