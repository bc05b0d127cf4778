"""`aio-tuned daemon` as a user runs it, with folders and a configuration of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import PATIENCE_S, aio_tuned, alive, descendants, environment_with, until

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from daemon.loop_drive import LoopDrive

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests/fakes/fake_aio_sweep.py"
# Two points a direction. Nothing else that goes on on this machine may hold up a sweep, unless a test says so.
_CONFIG = """
[grid]
block_size = "1M"
queue_depth = [4, 16]
io_parallelism = 1
overlap_events = true
single_submit = false
[sweep]
transfer_bytes = "16M"
span_bytes = "32M"
time_budget = 2
write_budget = "4G"
drop_caches = "never"
[choose]
tolerance_percent = 20
[daemon]
settle = 0.2
min_retry = 1
max_retry = 1
[throttle]
busy_bytes_per_s = "1G"
busy_requests_per_s = 0
busy_pressure_percent = 100
min_pause = 0.5
nice = 0
io_priority = "none"
[publish]
metrics = "{folder}/state/metrics.prom"
export_folders = ["{folder}/run/export"]
[paths]
profiles = "{folder}/etc"
state = "{folder}/state"
runtime = "{folder}/run"
"""
# No interval is ever that narrow: the sweep lasts until it is ended.
ENDLESS = """
[sweep]
time_budget = 120
write_budget = "64G"
write_budget_floor = "64G"
[choose]
tolerance_percent = 0.1
[throttle]
write_budget_per_day = "1T"
"""


class Daemon:
    """One daemon after another on the same folders; `environment` is added to that of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}
        self.helper: Path | None = None
        self.config = folder / "aio-tuned.conf"
        self.profiles, self.state, self.runtime = folder / "etc", folder / "state", folder / "run"
        self.exports = self.runtime / "export"
        self.config.write_text(_CONFIG.format(folder=folder))
        self.process: subprocess.Popen[bytes] | None = None
        self._logs: list[Path] = []
        self._started: set[int] = set()

    def configure(self, text: str, name: str = "") -> None:
        """Lay a drop-in over the configuration."""
        drop_ins = self.config.with_name("aio-tuned.conf.d")
        drop_ins.mkdir(exist_ok=True)
        (drop_ins / f"{name or f'{len(list(drop_ins.iterdir())):02}'}.conf").write_text(text)

    def watch(self, *drives: LoopDrive) -> None:
        """Let the configuration ask for these drives."""
        for drive in drives:
            self.configure(f'[[match]]\nname = "{drive.name}"\ntune = true\n')

    # --- running ---------------------------------------------------------------------------------------------

    def command(self, *words: str | Path) -> list[str | Path]:
        """The command line of aio-tuned with these words."""
        return aio_tuned(self.config, *words)

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Another command of aio-tuned, to its end."""
        return subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            check=False,
            env=environment_with(self.environment),
            timeout=2 * PATIENCE_S,
        )

    def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until it watches."""
        log = Path(tempfile.mkstemp(dir=self.folder, prefix="log-")[1])
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                self.command("daemon", *(("--helper", self.helper) if self.helper else ())),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=environment_with(self.environment),
            )
        self._logs.append(log)
        if ready:
            self.reach("started: managing ")

    @property
    def pid(self) -> int:
        """The running daemon's process."""
        assert self.process
        return self.process.pid

    @property
    def log(self) -> str:
        """What the daemon that was started last has said."""
        return self._logs[-1].read_text()

    def reach(self, *texts: str) -> None:
        """Wait until it has said these, one after the other."""
        assert self.process
        pattern = re.compile(".*".join(map(re.escape, texts)), re.DOTALL)
        until(lambda: pattern.search(self.log) or (self.process and self.process.poll() is not None))
        self._started |= descendants(self.process.pid)
        assert pattern.search(self.log), f"it has not said {texts}\n{self.log}"

    def reload(self) -> None:
        """Let it read its configuration again, and wait until it has, or has refused it."""

        def answers() -> int:
            return self.log.count("configuration reloaded\n") + self.log.count("configuration not reloaded: ")

        before = answers()
        os.kill(self.pid, signal.SIGHUP)
        assert until(lambda: answers() > before), self.log

    def workers(self) -> set[int]:
        """What it has started, and what that has started."""
        found = descendants(self.pid)
        self._started |= found
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End it, and how many seconds it took; with SIGTERM it must leave nothing running, and in order."""
        assert self.process
        started = self.workers()
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        took = time.monotonic() - began
        if number == signal.SIGTERM:
            assert code == 0, self.log
            assert not [process for process in started if alive(process)], "the daemon has left a process behind"
        return took

    def kill(self) -> None:
        """End it and what it started, however that may be."""
        if self.process is None:
            return
        for process in (self.process.pid, *self.workers(), *self._started):
            if alive(process):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        self.process.wait()

    # --- what it says ----------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What everybody may read of it."""
        with suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads((self.runtime / "status.json").read_text())
            return found
        return {"drives": [], "troubles": []}

    def drive(self, drive: LoopDrive) -> dict[str, Any]:
        """What it says of one drive; {} if it does not know it."""
        found = (each for each in self.status()["drives"] if each["name"] == drive.name)
        return next(found, {})

    def wait(self, drive: LoopDrive, stage: str, **also: object) -> dict[str, Any]:
        """Wait until the drive is in that stage, and has `also`; what it says of it then."""
        found: dict[str, Any] = {}

        def there() -> bool:
            nonlocal found
            found = self.drive(drive)
            return found.get("stage") == stage and all(found[key] == value for key, value in also.items())

        assert until(there), f"it is not {stage}: {found}\n{self.log}"
        return found

    def path(self, drive: LoopDrive) -> Path:
        """Where its profile is, or would be."""
        return self.profiles / f"{drive.name}.toml"

    def profile(self, drive: LoopDrive) -> dict[str, Any]:
        """Its profile; {} if there is none."""
        with suppress(FileNotFoundError):
            return tomllib.loads(self.path(drive).read_text())
        return {}

    def sweeps(self) -> int:
        """How many sweeps have begun since it was started."""
        return self.log.count(": sweeping: scratch file") + self.log.count(": sweeping: raw device")
