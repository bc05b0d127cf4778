from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from typing import TYPE_CHECKING

import aio_tuned
from aio_tuned.profiles.codec import render
from unit.support.builders import PROJECT, profile

if TYPE_CHECKING:
    from pathlib import Path

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(aio_tuned.__path__, "aio_tuned.")
    if not found.name.endswith(".__main__")
)
HEAVY = {"numpy", "rich", "matplotlib"}
# Rooms of the worker, and of `aio-tuned tune`, alone.
WORKERS = {
    "aio_tuned.service.worker.__main__",
    "aio_tuned.sweep.tune",
    "aio_tuned.sweep.run",
    "aio_tuned.search.race",
    "aio_tuned.search.check",
    "aio_tuned.search.choose",
    "aio_tuned.search.posterior",
    "aio_tuned.search.estimate",
}


def python(code: str, *words: str | Path, folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(PROJECT / "daemon"), "PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# What it loads only where it uses it counts too: it stays for good.
DAEMON = """
import json, sys
import aio_tuned.service.main
from pathlib import Path
from aio_tuned.cli.main import parser
from aio_tuned.config.load import Config
from aio_tuned.profiles import codec, siblings
from aio_tuned.service.fleet_gate import FleetGate
from aio_tuned.service.waits import Waits
from aio_tuned.storage.profile_store import ProfileStore

parser()
known = codec.parse(Path(sys.argv[1]).read_text())
store = ProfileStore(Path("etc"), Path("var"))
store.save(known)
store.publish(known)
siblings.check_settings(known)
siblings.check_shares(known)
config = Config(profiles=Path("etc"), state=Path("var"))
gate = FleetGate(lambda: config, Waits.open(Path("waits.json")))
assert not gate.look() and gate.desk is None
print(json.dumps(list(sys.modules)))
"""


def test_the_daemon_does_without_numpy(tmp_path: Path) -> None:
    (tmp_path / "known.toml").write_text(render(profile()))
    loaded = set(json.loads(python(DAEMON, tmp_path / "known.toml", folder=tmp_path)))
    assert (tmp_path / "etc" / f"{profile().device.name}.toml").exists()
    assert {"aio_tuned.service.supervisor", "aio_tuned.service.worker.process", "pyudev", "toml"} <= loaded
    assert loaded & (HEAVY | WORKERS) == set()
    # Without [fleet] and without bundles the fleet is not there.
    assert {name for name in loaded if name.startswith("aio_tuned.fleet")} == set()


LOADED = "import json, sys; from aio_tuned.cli.main import parser; {}; print(json.dumps(list(sys.modules)))"


def test_the_other_commands_load_neither_the_daemon_nor_numpy() -> None:
    loaded = set(json.loads(python(LOADED.format("parser()"))))
    assert loaded & (HEAVY | WORKERS | {"aio_tuned.service.main", "aio_tuned.service.supervisor"}) == set()


def test_run_loads_no_other_command() -> None:
    loaded = set(json.loads(python(LOADED.format("parser(['run'])"))))
    assert {name for name in loaded if name.startswith("aio_tuned.cli.")} == {
        f"aio_tuned.cli.{name}" for name in ("arguments", "main", "output", "run", "version")
    }
    assert loaded & HEAVY == set()


QUIET = """
import importlib, os, signal, sys, threading

def state():
    return (
        os.getcwd(), dict(os.environ), os.umask(0o022), threading.enumerate(), sorted(os.listdir("/proc/self/fd")),
        [signal.getsignal(number) for number in signal.valid_signals()], sorted(os.listdir(".")),
    )

before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
assert state() == before, (before, state())
"""


def test_importing_every_module_does_nothing(tmp_path: Path) -> None:
    assert {"aio_tuned.service.main", "aio_tuned.sweep.tune", "aio_tuned.service.supervisor"} < set(MODULES)
    assert python(QUIET, *MODULES, folder=tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
