"""`aio-tuned tune` as a user runs it, and disks whose every byte can be compared."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

import storage
from daemon.cli_process import Cli
from daemon.daemon_process import ENDLESS, FAKE, Daemon
from daemon.loop_drive import LoopDrive
from processes import aio_tuned, alive, children, environment_with, seeing_helper, until

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
MIB = 1 << 20

# 32 settings per direction and loose tolerances suffice, because these tests are not about the choice. The host's page
# cache is kept unless a test drops it, because every program started afterwards would be read from the disk again.
CONFIG = """
[grid]
block_size = ["128K", "1M"]
queue_depth = [4, 16]
io_parallelism = [1, 2]
[sweep]
transfer_bytes = "16M"
span_bytes = "64M"
time_budget = 12
write_budget = "4G"
drop_caches = "never"
[choose]
tolerance_percent = 20
"""
ONE_POINT = """
[grid]
block_size = "1M"
queue_depth = 4
io_parallelism = 1
overlap_events = true
single_submit = false
[sweep]
transfer_bytes = "4M"
time_budget = 10
processes = []
[curves]
enabled = false
"""
# What follows the choice takes all the time that is left.
EXPERIMENTS = "[sweep]\nprocesses = [1, 2, 4, 8]\n[curves]\nenabled = true\n"


# --- the tuner ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The outcome of a run."""

    code: int
    stdout: str
    stderr: str

    @property
    def last(self) -> str:
        """Return the last line of standard error."""
        return self.stderr.strip().rpartition("\n")[2]


@dataclass(slots=True, kw_only=True)
class Running:
    """A run of aio-tuned in the background."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path
    helpers: set[int] = field(default_factory=set)

    def reach(self, text: str) -> None:
        """Wait until standard error has these words, and remember the helper."""
        until(lambda: self.process.poll() is not None or text in self.stderr.read_text())
        said = self.stderr.read_text()
        assert text in said, f"it has not said {text}: {said}"
        self.helpers |= children(self.process.pid)

    def end(self, number: signal.Signals | None = None) -> Done:
        """Send the signal, if any, and wait for the end; assert that no helper is left."""
        started = time.monotonic()
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(240)
        waited = time.monotonic() - started
        # After 10 s the tuner kills its helper, which then does not clean up.
        assert number is None or waited < 9, f"the helper did not heed SIGTERM: the end took {waited:.1f} s"
        assert until(lambda: not any(alive(helper) for helper in self.helpers)), "the helper is still there"
        return Done(code=code, stdout=self.stdout.read_text(), stderr=self.stderr.read_text())

    def kill(self) -> None:
        """Kill the process and its descendants."""
        for process in (self.process.pid, *children(self.process.pid), *self.helpers):
            if alive(process):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        self.process.wait()


class Tuner:
    """`aio-tuned tune` with a configuration and a folder for profiles of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.config = folder / "aio-tuned.conf"
        self.state = folder / "state"
        self.config.write_text(f'{CONFIG}\n[paths]\nstate = "{self.state}"\n')
        self.runs: list[Running] = []
        self.writes_raw = False

    def configure(self, text: str) -> None:
        """Add a drop-in to the configuration."""
        self.writes_raw |= "raw_write" in text
        drop_ins = self.config.with_name("aio-tuned.conf.d")
        drop_ins.mkdir(exist_ok=True)
        (drop_ins / f"{len(list(drop_ins.iterdir())):02}.conf").write_text(text)

    def helper(self, script: str) -> Path:
        """Return a helper that runs the shell script with the real helper's arguments, and then becomes the real one.

        The script acts between the tuner's decision and the helper's start. Before writing a raw device the helper sees
        the processes that run now and whose open files can be read.
        """
        return seeing_helper(self.folder, script)

    def command(self, *words: str | Path) -> list[str | Path]:
        """Return the command line of aio-tuned with these words."""
        return aio_tuned(self.config, *words)

    def start(
        self,
        target: Path,
        *arguments: str | Path,
        out: Path | None = None,
        under: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Running:
        """Run `tune` on the target, in the background, `under` a command such as setpriv."""
        place = Path(tempfile.mkdtemp(dir=self.folder, prefix="run-"))
        if self.writes_raw and "--helper" not in arguments and "AIO_TUNED_HELPER" not in (environment or {}):
            arguments = (*arguments, "--helper", self.helper(""))
        words = self.command("tune", target, "--out", out or self.out, "--seed", "1", *arguments)
        with (place / "out").open("wb") as stdout, (place / "err").open("wb") as stderr:
            process = subprocess.Popen(
                [*under, *words],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment_with(environment or {}),
            )
        self.runs.append(Running(process=process, stdout=place / "out", stderr=place / "err"))
        return self.runs[-1]

    def run(
        self,
        target: Path,
        *arguments: str | Path,
        out: Path | None = None,
        under: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Done:
        """Run `tune` on the target to its end."""
        return self.start(target, *arguments, out=out, under=under, environment=environment).end()

    def profile(self, target: Path, *arguments: str | Path) -> dict[str, Any]:
        """Return the profile of a run that must succeed: valid, equal to the file, proved by the device's counters.

        If other load makes the reads take the time of the writes, run again with more time.
        """
        done = self.run(target, "--json", *arguments)
        for time_budget in ("30s", "100s"):
            if "time budget" in done.last:
                done = self.run(target, "--json", *arguments, "--time-budget", time_budget)
        assert done.code == 0, done.stderr
        document = json.loads(done.stdout)
        path = Path(document["file"])
        profile: dict[str, Any] = document["profile"]
        jsonschema.validate(profile, json.loads((ROOT / "docs/profile.schema.json").read_text()))
        assert tomllib.loads(path.read_text()) == profile
        assert path == self.out / f"{profile['device']['name']}.toml"
        assert path.stat().st_mode & 0o7777 == 0o644
        assert len(Path(document["samples_file"]).read_text().splitlines()) == profile["evidence"]["visits"]
        assert profile["evidence"]["cache_verdict"] == "device"
        return profile

    def published(self) -> dict[str, bytes]:
        """Return every file in the profiles' folder, including hidden ones; the archive is in another folder."""
        return {path.name: path.read_bytes() for path in sorted(self.out.glob("*")) if path.is_file()}

    def history(self, target: Path) -> list[dict[str, Any]]:
        """Return the sweeps of the target's drive, as `aio-tuned history` lists them."""
        words = self.command("history", target, "--out", self.out, "--json")
        done = subprocess.run(words, capture_output=True, check=True, env=environment_with({}))
        (found,) = json.loads(done.stdout)
        sweeps: list[dict[str, Any]] = found["sweeps"]
        return sweeps


@pytest.fixture
def tuner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuner]:
    """Yield a tuner, whose processes end with the test."""
    made = Tuner(tmp_path_factory.mktemp("tuner"))
    try:
        yield made
    finally:
        for run in made.runs:
            run.kill()


@pytest.fixture
def quick(tuner: Tuner) -> Tuner:
    """Return a tuner with one setting per direction, which measures little after the choice."""
    tuner.configure(ONE_POINT)
    return tuner


@pytest.fixture
def endless(tuner: Tuner) -> Tuner:
    """Return a tuner whose sweep lasts until it is ended."""
    tuner.configure(ENDLESS)
    return tuner


# --- the daemon --------------------------------------------------------------------------------------------


@pytest.fixture
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Yield a daemon that is not started yet, whose processes end with the test."""
    made = Daemon(tmp_path_factory.mktemp("daemon"))
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture
def quick_daemon(daemon: Daemon) -> Daemon:
    """Yield a daemon whose helper answers at once."""
    daemon.helper = FAKE
    return daemon


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """Return the commands that need no daemon."""
    made = Cli(tmp_path)
    yield made
    made.close()


# --- disks -------------------------------------------------------------------------------------------------


@pytest.fixture
def loop_drive(cleared_last: ExitStack, tmp_path: Path) -> Callable[..., LoopDrive]:
    """`loop_drive()` is a drive of 384 MiB with data on it that is not plugged in yet, until the test ends."""

    def make() -> LoopDrive:
        drive = LoopDrive(tmp_path, 384 * MIB)
        cleared_last.callback(drive.close)
        return drive

    return make


@pytest.fixture
def disk(cleared_last: ExitStack, tmp_path: Path) -> Callable[..., LoopDrive]:
    """`disk(size_bytes=96 MiB, sector_bytes=4096)` is a blank disk until the test ends."""

    def make(size_bytes: int = 96 * MIB, sector_bytes: int = 4096) -> LoopDrive:
        drive = LoopDrive(tmp_path, size_bytes, sector_bytes=sector_bytes, blank=True)
        cleared_last.callback(drive.close)
        drive.plug()
        # Until udevd has handled the disk, it opens the disk and re-reads the partitions after each writer.
        storage.settle()
        return drive

    return make


@pytest.fixture
def partition(disk: Callable[..., LoopDrive]) -> Iterator[Callable[[int], tuple[LoopDrive, Path]]]:
    """`partition(size_bytes)` is a disk with one partition, from 1 MiB to its end, and the partition's node."""
    with ExitStack() as stack:

        def make(size_bytes: int = 97 * MIB) -> tuple[LoopDrive, Path]:
            whole = disk(size_bytes=size_bytes)
            try:
                # The kernel need not know any partition table for this.
                storage.run("addpart", whole.node, "1", "2048", str(size_bytes // 512 - 2048))
            except OSError as error:
                pytest.skip(f"no partitions here: {error}")
            stack.callback(storage.remove_partition, whole.node, 1)
            part = Path(f"{whole.node}p1")
            if not until(part.exists):
                pytest.skip(f"partitions get no nodes here: {part}")
            return whole, part

        yield make


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`mount("-o", "ro", device)` is where that is mounted until the test ends."""
    with ExitStack() as stack:

        def make(*arguments: str | Path) -> Path:
            return stack.enter_context(storage.mount_in(tmp_path, *arguments))

        yield make
