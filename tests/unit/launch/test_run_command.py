"""`aio-tuned run` as a user runs it: the command's exit code, signals, standard input and environment are its own."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import pytest

from aio_tuned.errors import Exit
from unit.support.builders import PROJECT
from unit.support.own_drive import publish
from unit.support.size_curves import curve

if TYPE_CHECKING:
    from collections.abc import Callable

CURVES = (curve("psync", "read", {4 << 20: 7}), curve("psync", "write", {4 << 20: 3}))


class Ended(NamedTuple):
    """What a finished command has left."""

    code: int
    out: str
    err: str


class Stand:
    """A folder on a drive of this machine, a folder of profiles, and a runtime folder of its own."""

    def __init__(self, root: Path) -> None:
        self.folder, self.profiles, self.runtime = root / "data", root / "profiles", root / "runtime"
        self.profiles.mkdir(mode=0o755)
        for folder in (self.folder, self.runtime):
            folder.mkdir(mode=0o700)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT / "daemon"),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def words(self, *words: str | Path) -> list[str | Path]:
        given: list[str | Path] = [] if "--path" in words else ["--path", self.folder]
        return [sys.executable, "-m", "aio_tuned", "run", "--profiles", self.profiles, *given, *words]

    def run(
        self,
        *words: str | Path,
        stdin: int | IO[str] = subprocess.DEVNULL,
        before: Callable[[], object] | None = None,
        **environment: str,
    ) -> Ended:
        done = subprocess.run(
            self.words(*words),
            stdin=stdin,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            env=self.environment | environment,
            preexec_fn=before,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def left(self) -> list[str]:
        return sorted(path.name for path in self.runtime.rglob("*"))


@pytest.fixture
def empty(tmp_path: Path) -> Stand:
    """A stand without a profile."""
    return Stand(tmp_path)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    made = Stand(tmp_path)
    publish(made.folder, made.profiles, curves=CURVES)
    return made


# --- the settings ----------------------------------------------------------------------------------------


def test_a_command_finds_the_settings_in_its_environment_and_its_files(stand: Stand) -> None:
    script = 'echo $KVIKIO_NTHREADS $AIO_TUNED_VLLM $AIO_TUNED_READ_BLOCK_SIZE; cat "$FASTSAFETENSORS_CONFIG"'
    code, out, err = stand.run("--", "sh", "-c", script)
    assert code == 0
    first, _, rest = out.partition("\n")
    assert first == "7 1 1048576"
    assert json.loads(rest)["base"]["max_threads"] == 7
    (line,) = err.splitlines()
    assert line.startswith(f"aio-tuned: {stand.folder} (")
    assert ": set AIO_TUNED_*, " in line
    assert {"KVIKIO_NTHREADS,", "LMCACHE_CONFIG_FILE", "AIO_TUNED_VLLM,"} <= set(line.split())


def test_integrations_find_profiles_that_are_elsewhere(stand: Stand) -> None:
    script = ("--", "sh", "-c", "echo $AIO_TUNED_PROFILES")
    assert stand.run(*script).out == f"{stand.profiles}\n"
    assert stand.run(*script, AIO_TUNED_PROFILES="/own").out == "/own\n"


def test_the_callers_values_stay_and_are_never_told(stand: Stand) -> None:
    own = stand.folder / "secret-name.yaml"
    own.write_text("remote_url: redis://:hunter2@host\n")
    code, out, err = stand.run(
        "--",
        *("sh", "-c", 'echo $KVIKIO_NTHREADS; cat "$LMCACHE_CONFIG_FILE"'),
        KVIKIO_NTHREADS="4321",
        LMCACHE_CONFIG_FILE=str(own),
    )
    assert code == 0
    assert out.startswith("4321\n")
    assert "remote_url: redis://:hunter2@host\n" in out
    assert "disk_io_threads: 7" in out
    assert "; kept KVIKIO_NTHREADS" in err
    for value in ("4321", "secret-name", "hunter2", str(stand.runtime)):
        assert value not in err


def test_print_shows_what_is_ours_and_starts_nothing(stand: Stand) -> None:
    own = stand.folder / "own.yaml"
    own.write_text("remote_url: redis://:hunter2@host\n")
    code, out, err = stand.run("--print", "--", "touch", stand.folder / "started", LMCACHE_CONFIG_FILE=str(own))
    assert code == 0
    assert "KVIKIO_NTHREADS=7\n" in out
    assert "# LMCACHE_CONFIG_FILE: the path of a private file lmcache.yaml with\n" in out
    assert "#       disk_io_threads: 7\n" in out
    assert "hunter2" not in out + err
    assert ": would set AIO_TUNED_*, " in err
    assert not (stand.folder / "started").exists()
    assert stand.left() == []


def test_print_is_for_a_shell_too(stand: Stand) -> None:
    folder = stand.folder / "a folder\nof 'two' lines"
    folder.mkdir()
    _, out, err = stand.run("--path", folder, "--for", "mooncake", "--print")
    script = out + 'printf "%s" "$MOONCAKE_OFFLOAD_FILE_STORAGE_PATH"'
    assert subprocess.check_output(["sh", "-c", script], text=True) == str(folder)
    assert len(err.splitlines()) == 1


def test_a_merge_that_fails_leaves_that_consumer_alone(stand: Stand) -> None:
    own = stand.folder / "own.yaml"
    own.write_text("password: hunter2\npassword: hunter3\n")
    words = ("--", "sh", "-c", "echo $KVIKIO_NTHREADS $LMCACHE_CONFIG_FILE")
    code, out, err = stand.run(*words, LMCACHE_CONFIG_FILE=str(own))
    assert (code, out) == (0, f"7 {own}\n")
    assert "aio-tuned: not set: lmcache: the file of LMCACHE_CONFIG_FILE: the settings cannot be added (YAML)" in err
    assert "hunter" not in err
    assert stand.run("--require", *words, LMCACHE_CONFIG_FILE=str(own))[:2] == (Exit.TARGET, "")
    assert stand.left().count("cufile.json") == 0  # removed by the later run, which itself left none


def test_without_a_private_folder_the_environment_is_set_anyway(stand: Stand) -> None:
    code, out, err = stand.run(
        *("--", "sh", "-c", "echo $KVIKIO_NTHREADS $CUFILE_ENV_PATH_JSON"),
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),  # no file can be written
    )
    assert (code, out) == (0, "7\n")
    assert "; kept" not in err
    problem = "not set: CUFILE_ENV_PATH_JSON, FASTSAFETENSORS_CONFIG, LMCACHE_CONFIG_FILE: no private folder: "
    assert f"{problem}File too large; set XDG_RUNTIME_DIR or TMPDIR" in err
    assert "CUFILE_ENV_PATH_JSON" not in err.splitlines()[0]
    assert stand.left() == []


def test_the_folder_of_an_ended_command_is_removed_by_the_next_run(stand: Stand) -> None:
    show = ("--", "sh", "-c", 'ls -dl "${CUFILE_ENV_PATH_JSON%/*}" "$CUFILE_ENV_PATH_JSON"')
    first = stand.run(*show).out.splitlines()
    assert sorted(line[:10] for line in first) == ["-rw-------", "drwx------"]
    before = stand.left()
    assert "cufile.json" in before
    stand.run(*show)
    assert len(stand.left()) == len(before)
    assert stand.left() != before


# --- errors of settings ----------------------------------------------------------------------------------


def test_without_settings_the_command_starts_unchanged(empty: Stand) -> None:
    code, out, err = empty.run("--", "env", "-0", ODD="\udcff\n")
    assert code == 0
    assert dict(line.split("=", 1) for line in out.split("\0") if line) == empty.environment | {"ODD": "\udcff\n"}
    assert err.startswith("aio-tuned: ")
    assert "no profile" in err
    assert err.endswith("; the command starts unchanged\n")
    assert empty.left() == []


def test_the_environment_of_the_c_locale_stays_without_what_python_adds(empty: Stand) -> None:
    out = empty.run("--", "env", LC_ALL="", LANG="C").out
    assert "LC_CTYPE" not in out
    assert "LC_CTYPE=C\n" in empty.run("--", "env", LC_CTYPE="C").out


@pytest.mark.parametrize("words", [("--require",), ("--print",)])
def test_what_is_required_and_what_is_only_printed_is_not_started(empty: Stand, words: tuple[str, ...]) -> None:
    code, out, err = empty.run(*words, "--", "echo", "started")
    assert (code, out) == (Exit.TARGET, "")
    assert "no profile" in err
    assert "unchanged" not in err


def test_a_torn_profile_is_an_error_of_settings(stand: Stand) -> None:
    (file,) = stand.profiles.iterdir()
    file.write_text(file.read_text()[:300])
    code, out, err = stand.run("--", "echo", "started")
    assert (code, out) == (0, "started\n")
    assert file.name in err
    assert stand.run("--require", "--", "echo", "started")[:2] == (Exit.TARGET, "")


@pytest.mark.parametrize("text", ["no toml", "[sweep]\neffort = 3\n"])
def test_a_wrong_configuration_is_an_error_of_settings(empty: Stand, text: str) -> None:
    conf = empty.folder / "aio-tuned.conf"
    conf.write_text(text)
    words: list[str | Path] = [
        sys.executable,
        "-m",
        "aio_tuned",
        "--config",
        conf,
        "run",
        "--path",
        empty.folder,
        "--",
        "echo",
        "on",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=empty.environment, timeout=60)
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert "aio-tuned.conf" in done.stderr
    assert "; the command starts unchanged" in done.stderr


def test_a_wait_ends_with_the_profile(empty: Stand) -> None:
    words = empty.words("--wait", "50s", "--", "sh", "-c", "echo $KVIKIO_NTHREADS")
    with subprocess.Popen(words, stdout=-1, stderr=-1, text=True, env=empty.environment) as process:
        assert process.stderr
        assert "waiting: " in process.stderr.readline()
        publish(empty.folder, empty.profiles, curves=CURVES)
        assert process.communicate(timeout=50)[0] == "7\n"


def test_a_wait_has_an_end_and_takes_a_provisional_profile_then(empty: Stand) -> None:
    code, out, err = empty.run("--wait", "0.2s", "--", "echo", "on")
    assert (code, out) == (0, "on\n")
    assert "; the command starts unchanged" in err
    publish(empty.folder, empty.profiles, state="stale")
    code, out, err = empty.run("--wait", "0.2s", "--require", "--", "sh", "-c", "echo $AIO_TUNED_STATE")
    assert (code, out) == (0, "stale\n")
    assert ", stale): set " in err


# --- the command -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 66, 255])
def test_the_exit_code_is_the_commands(stand: Stand, code: int) -> None:
    assert stand.run("--", "sh", "-c", f"exit {code}").code == code


def test_the_process_is_the_command(stand: Stand) -> None:
    with subprocess.Popen(stand.words("--", "sleep", "60"), env=stand.environment, stderr=-1) as process:
        assert process.stderr
        process.stderr.readline()
        comm = Path(f"/proc/{process.pid}/comm")
        end = time.monotonic() + 20
        while comm.read_text() != "sleep\n" and time.monotonic() < end:
            time.sleep(0.01)
        assert comm.read_text() == "sleep\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_wait_ends_it_without_the_command(empty: Stand, number: signal.Signals) -> None:
    words = empty.words("--wait", "50s", "--", "echo", "started")
    with subprocess.Popen(words, stdout=-1, stderr=-1, text=True, env=empty.environment) as process:
        assert process.stderr
        process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert process.returncode in (Exit.INTERRUPTED, -number)
        assert out == ""
        assert "Traceback" not in err


def test_the_command_ignores_the_signals_that_the_caller_ignores_and_none_that_python_ignores(stand: Stand) -> None:
    ask = ("--", "grep", "SigIgn", "/proc/self/status")
    assert int(stand.run(*ask).out.split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0
    out = stand.run(*ask, before=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)).out
    assert int(out.split()[1], 16) & 1 << signal.SIGINT - 1


def test_standard_input_is_the_commands(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "input").write_text("first\nsecond\n")
    with (tmp_path / "input").open() as file:
        assert stand.run("--", "cat", stdin=file).out == "first\nsecond\n"


@pytest.mark.parametrize("descriptor", [0, 2])
def test_a_closed_descriptor_stays_closed(stand: Stand, descriptor: int) -> None:
    # The shell keeps the number free for the program that it starts.
    test = f"test -e /proc/self/fd/{descriptor} && echo open || echo closed"
    out = stand.run("--", "sh", "-c", test, before=lambda: os.close(descriptor)).out
    assert out == "closed\n"


def test_a_full_standard_error_stays_the_commands(stand: Stand) -> None:
    words = stand.words("--", "sh", "-c", "readlink /proc/self/fd/2")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(words, stdout=-1, stderr=full, text=True, check=False, env=stand.environment, timeout=60)
    assert (done.returncode, done.stdout) == (0, "/dev/full\n")


def test_a_further_descriptor_is_passed_on(stand: Stand) -> None:
    reader, writer = os.pipe()
    words = stand.words("--", "sh", "-c", f"echo passed > /proc/self/fd/{writer}")
    subprocess.run(words, env=stand.environment, pass_fds=[writer], check=True, stderr=-1, timeout=60)
    assert os.read(reader, 99) == b"passed\n"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        ("nosuch-command", Exit.NOT_FOUND, "nosuch-command: command or its interpreter (#!) not found"),
        ("", Exit.NOT_FOUND, ": command or its interpreter (#!) not found"),
        ("/", Exit.NOT_EXECUTABLE, "/: cannot be executed: Permission denied"),
        ("/etc/passwd/x", Exit.NOT_FOUND, "/etc/passwd/x: command or its interpreter (#!) not found"),
    ],
)
def test_a_command_that_does_not_start(stand: Stand, command: str, code: int, reason: str) -> None:
    got, out, err = stand.run("--", command)
    assert (got, out) == (code, "")
    assert err.splitlines()[-1] == f"aio-tuned: {reason}"
    assert stand.left() == []


def test_a_script_without_an_interpreter_is_the_shells(stand: Stand, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$0 $1 $KVIKIO_NTHREADS"\n')
    script.chmod(0o700)
    assert stand.run("--", script, "one").out == f"{script} one 7\n"


def test_the_command_is_found_in_the_callers_path(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/own-command").write_text("#!/bin/sh\necho found\n")
    (tmp_path / "bin/own-command").chmod(0o700)
    assert stand.run("own-command", PATH=f"{tmp_path}/bin:{os.environ['PATH']}").out == "found\n"


# --- the command line ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dashes", [("--",), ()])
def test_the_words_after_the_command_are_its_own(stand: Stand, dashes: tuple[str, ...]) -> None:
    words = ("--help", "--path", "-V", "--co", "--pr", "--", "--print", "run")
    show = "import sys; print(*sys.argv[1:])"  # printf of Ubuntu 26.04 has options of its own
    out = stand.run("--for", "kvikio", *dashes, sys.executable, "-c", show, *words).out
    assert out.split() == [*words]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "COMMAND: missing; write it after --"),
        (("--",), "COMMAND: missing; write it after --"),
        (("--for", "kvikoi", "--", "true"), "did you mean 'kvikio'?"),
        (("--for", "", "--", "true"), "argument --for: '' is not one of "),
        (("--wait", "soon", "--", "true"), 'argument --wait: "soon" is not a time'),
        (("--unknown", "true"), "unexpected option '--unknown'"),
    ],
)
def test_wrong_usage_starts_nothing(empty: Stand, words: tuple[str, ...], problem: str) -> None:
    code, out, err = empty.run(*words)
    assert (code, out) == (Exit.USAGE, "")
    assert problem in err


def test_a_wait_needs_a_path(empty: Stand) -> None:
    words = [sys.executable, "-m", "aio_tuned", "run", "--wait", "1s", "--", "true"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=empty.environment, timeout=60)
    assert done.returncode == Exit.USAGE
    assert "--wait: needs --path" in done.stderr
