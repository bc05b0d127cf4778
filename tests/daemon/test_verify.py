"""`aio-tuned verify` on a real filesystem: with fio, and with a planted consumer whose truth is known."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from aio_tuned.devices import identity, resolve
from aio_tuned.model.profile import Unmeasured
from aio_tuned.profiles import codec
from aio_tuned.reader import drive_settings_for
from aio_tuned.service.write_ledger import Ledger, ledger_path
from daemon.planted import VERSION, plant
from daemon.publishing import publish
from processes import aio_tuned, alive, environment_with, until
from storage import mounted_filesystem
from unit.support import builders

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
# The depth of DeepSpeed's default, and of the profile.
DEFAULT, OURS = "8", "32"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/profile.schema.json").read_text())
NOBODY = 65534


class Bench:
    """A filesystem with a profile of its drive, and a planted deepspeed."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.base = base
        self.folder = folder
        self.etc, self.state = base / "etc", base / "state"
        self.etc.mkdir()
        self.config = base / "aio-tuned.conf"
        self.configure("")
        self.python = plant(base)
        device = resolve.device(resolve.resolve(folder))
        setting = builders.setting(depth=int(OURS), threads=2)
        self.name = publish(
            folder,
            self.etc,
            read=builders.result(setting=setting),
            write=builders.result(setting=setting),
            combined=Unmeasured(setting=setting),
            fingerprint=identity.fingerprint(device, "ext4", os.uname().release),
        )

    def configure(self, throttle: str) -> None:
        self.config.write_text(
            f'[paths]\nprofiles = "{self.etc}"\nstate = "{self.state}"\n'
            # Other tests use the same disk below.
            f'[safety]\nmin_free = "16M"\n[throttle]\nbusy_bytes_per_s = "100G"\nbusy_requests_per_s = 0\n{throttle}\n'
        )

    def command(self, *words: str, consumer: str = "deepspeed", **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            aio_tuned(self.config, "verify", self.folder, "--consumer", consumer, "--python", str(self.python), *words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment_with(environment),
        )

    def verify(self, planted: dict[str, float], *words: str, **more: str) -> tuple[int, str, str]:
        process = self.command(*words, DS_PLANTED=json.dumps(planted), **more)
        out, err = process.communicate(timeout=200)
        return process.returncode, out, err

    def export(self, consumer: str = "deepspeed") -> tuple[dict[str, Any], str]:
        words = aio_tuned(self.config, "export", consumer, self.folder)
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment_with({}))
        found: dict[str, Any] = json.loads(done.stdout)["aio"]
        return found, done.stderr

    @property
    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name != "lost+found")

    @property
    def profile(self) -> dict[str, Any]:
        return tomllib.loads((self.etc / f"{self.name}.toml").read_text())


@pytest.fixture
def bench() -> Iterator[Bench]:
    """In a folder that every user can pass through, unlike pytest's."""
    base = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="aio-tuned-test-verify-"))
    base.chmod(0o755)
    try:
        with mounted_filesystem("ext4", 320 * MIB, base) as mounted:
            mounted.path.parent.chmod(0o755)
            yield Bench(base, mounted.path)
    finally:
        shutil.rmtree(base)


# --- the planted consumer ------------------------------------------------------------------------------------


def test_where_the_default_is_best_it_says_so_and_the_export_gives_the_default(bench: Bench) -> None:
    assert bench.export()[0]["queue_depth"] == int(OURS)
    code, out, err = bench.verify({DEFAULT: 250e6, OURS: 200e6})
    assert code == 0, err
    assert re.search(r"^ours is not better but slower: -(1[5-9]|2[0-5])\.\d % throughput", out, re.MULTILINE), out
    assert out.endswith(
        f"kept in {bench.state}/verified/{bench.name}.toml; aio-tuned export deepspeed gives deepspeed's own default\n"
    )
    assert bench.left == []
    verdict = bench.profile["verified_deepspeed"]
    assert verdict["version"] == VERSION
    assert verdict["better"] is False
    assert verdict["ratio"] == pytest.approx(0.8, abs=0.05)
    assert "aio.queue_depth=32" in verdict["setting"]
    jsonschema.validate(bench.profile, SCHEMA)
    assert [each.consumer for each in drive_settings_for(bench.folder, profiles=bench.etc).verified] == ["deepspeed"]
    exported, said = bench.export()
    assert (exported["queue_depth"], exported["intra_op_parallelism"], exported["block_size"]) == (8, 1, MIB)
    assert "deepspeed: its own default, because aio-tuned verify found the drive's settings not better" in said


def test_a_later_result_replaces_the_verdict(bench: Bench) -> None:
    assert bench.verify({DEFAULT: 250e6, OURS: 200e6})[0] == 0
    code, out, err = bench.verify({DEFAULT: 200e6, OURS: 260e6})
    assert code == 0, err
    assert re.search(r"^ours is better: \+(2[0-9]|3[0-5])\.\d % throughput", out, re.MULTILINE), out
    assert bench.profile["verified_deepspeed"]["better"] is True
    assert bench.export()[0]["queue_depth"] == int(OURS)


def test_settings_that_make_no_difference_are_not_better(bench: Bench) -> None:
    code, out, err = bench.verify({DEFAULT: 200e6, OURS: 200e6}, "--json")
    assert code == 0, err
    document = json.loads(out)
    low, high = document["verdict"]["ci95"]
    # In one run of twenty the interval of no difference does not include it.
    assert 0.96 < low < high < 1.04
    assert document["pairs"]["read"] >= 10
    assert document["decided"] is True


def test_a_budget_that_ends_too_early_keeps_nothing(bench: Bench) -> None:
    code, out, err = bench.verify({DEFAULT: 100e6, OURS: 101e6}, "--time-budget", "5s")
    assert code in (74, 75), out + err
    assert not (bench.state / f"verified/{bench.name}.toml").exists()
    assert "verified_deepspeed" not in bench.profile
    assert bench.left == []


def test_what_is_in_effect_is_told(bench: Bench) -> None:
    code, out, err = bench.verify({DEFAULT: 200e6, OURS: 260e6}, "--json")
    assert code == 0, err
    for each in json.loads(out)["in_effect"]:
        assert each["asked"]["direct"] is True
        assert (each["seen"]["direct"], each["seen"]["cached"]) == (True, 0)
        assert each["seen"]["threads"] == each["asked"]["threads"] == (1 if each["side"] == "default" else 2)


def test_an_option_that_is_not_in_effect_is_told(bench: Bench) -> None:
    code, out, err = bench.verify({DEFAULT: 200e6, OURS: 260e6}, DS_PLANTED_BUFFERED="1", DS_PLANTED_ONE_THREAD="1")
    assert code == 0, err
    assert "ours, reads: O_DIRECT not in effect: 100% of the data in the page cache; 1 thread instead of 2" in out


def test_another_release_or_another_setting_has_no_verdict(bench: Bench) -> None:
    assert bench.verify({DEFAULT: 250e6, OURS: 200e6})[0] == 0
    metadata = next(
        bench.python.parent.parent.glob(f"lib/python3*/site-packages/deepspeed-{VERSION}.dist-info/METADATA")
    )
    os.utime(metadata, ns=(1, 1))
    # Any later publication drops it: here that of a verdict on fio.
    if shutil.which("fio"):
        code, out, err = bench.verify({}, "--time-budget", "12s", consumer="fio")
        assert code in (0, 75), out + err
        if code == 0:
            assert "verified_deepspeed" not in bench.profile


# --- its folder ---------------------------------------------------------------------------------------------


def test_after_sigkill_the_drivers_remove_the_folder_or_the_next_run_does(bench: Bench) -> None:
    planted = json.dumps({DEFAULT: 50e6, OURS: 50e6})
    process = bench.command(DS_PLANTED=planted)
    try:
        assert until(lambda: bench.left and [*(bench.folder / bench.left[0]).iterdir()])
        (folder,) = bench.left
        assert folder.startswith(".aio-tuned-verify-")
        assert (bench.folder / folder).stat().st_mode & 0o777 == 0o700
        drivers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    finally:
        process.kill()
        process.communicate()
    for driver in drivers:
        try:
            os.kill(driver, signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert until(lambda: not any(map(alive, drivers)))  # they hold locks
    # What a run leaves if all its processes were killed at once.
    (bench.folder / ".aio-tuned-verify-left").mkdir(exist_ok=True)
    (bench.folder / ".aio-tuned-verify-left/data").write_bytes(b"x")
    assert bench.verify({DEFAULT: 200e6, OURS: 260e6})[0] == 0
    assert bench.left == []


def test_sigterm_leaves_nothing(bench: Bench) -> None:
    process = bench.command(DS_PLANTED=json.dumps({DEFAULT: 200e6, OURS: 200e6}))
    assert until(lambda: bench.left)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert bench.left == []


def test_sigterm_while_the_consumer_builds_leaves_nothing(bench: Bench) -> None:
    """DeepSpeed builds its operator for minutes, and cannot remove the folder until it is built."""
    process = bench.command(DS_PLANTED=json.dumps({DEFAULT: 200e6, OURS: 200e6}), DS_PLANTED_BUILDS="599.7")
    assert until(lambda: _running("sleep", "599.7"))
    assert bench.left
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert bench.left == []
    assert not _running("sleep", "599.7")


def _running(*words: str) -> list[Path]:
    """Return the processes with this command line."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if line.read_bytes() == b"".join(word.encode() + b"\0" for word in words):
                found.append(line)
    return found


def test_in_the_folder_of_a_user_the_consumer_runs_as_that_user(bench: Bench) -> None:
    mine = bench.folder / "mine"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)
    bench.folder = mine
    process = bench.command(DS_PLANTED=json.dumps({DEFAULT: 200e6, OURS: 260e6}))
    assert until(lambda: bench.left)
    owner = (mine / bench.left[0]).stat().st_uid
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    assert owner == NOBODY
    assert bench.left == []


def test_an_interpreter_that_others_may_change_does_not_run_as_root(bench: Bench) -> None:
    (bench.base / "venv/lib").chmod(0o777)
    code, _, err = bench.verify({DEFAULT: 200e6, OURS: 260e6})
    assert code == 77
    assert "not run as root" in err
    assert bench.left == []


# --- what stops it --------------------------------------------------------------------------------------------


def test_the_daily_budget_holds(bench: Bench) -> None:
    bench.configure('write_budget_per_day = "100M"')
    code, _, err = bench.verify({DEFAULT: 200e6, OURS: 260e6})
    assert code == 69
    assert "100 MiB of the daily write budget are left, and the comparison needs" in err
    assert bench.left == []


def test_the_bytes_written_count(bench: Bench) -> None:
    code, out, _ = bench.verify({DEFAULT: 200e6, OURS: 260e6}, "--json")
    assert code == 0
    document = json.loads(out)
    counted = Ledger.open(ledger_path(bench.state)).total(resolve.device(resolve.resolve(bench.folder)).id)
    # The fill, up to three transfers of each side that do not count, and the pairs.
    assert counted / document["transfer_bytes"] - 2 * document["pairs"]["write"] in (3, 4, 5, 6, 7)
    assert counted <= 8 << 30


def test_a_profile_of_another_time_is_refused(bench: Bench) -> None:
    path = bench.etc / f"{bench.name}.toml"
    path.write_text(path.read_text().replace('scheduler = "', 'scheduler = "x'))
    code, _, err = bench.verify({DEFAULT: 200e6, OURS: 260e6})
    assert code == 66
    assert "scheduler changed from" in err


def test_without_the_package_fio_stands_in(bench: Bench) -> None:
    if shutil.which("fio") is None:
        pytest.skip("fio is not installed: apt-get install fio")
    shutil.rmtree(next(bench.python.parent.parent.glob("lib/python3*/site-packages/deepspeed-*")))
    code, out, err = bench.verify({}, "--json", "--time-budget", "12s")
    assert code in (0, 75), err
    document = json.loads(out)
    assert document["stand_in"] is True
    assert document["verdict"]["version"].startswith("fio-")


def test_a_consumer_that_fails_is_told_in_its_own_words(bench: Bench) -> None:
    code, _, err = bench.verify({DEFAULT: 400e6})
    assert code == 74
    assert f"deepspeed in {bench.python}: configure: KeyError: '32'" in err
    assert bench.left == []


# --- fio ------------------------------------------------------------------------------------------------------


def test_fio_is_compared_and_observed(bench: Bench) -> None:
    if shutil.which("fio") is None:
        pytest.skip("fio is not installed: apt-get install fio")
    code, out, err = bench.verify({}, "--json", "--time-budget", "12s", consumer="fio")
    assert code in (0, 75), err
    document = json.loads(out)
    assert document["stand_in"] is False
    for each in document["in_effect"]:
        assert each["seen"]["direct"] in (None, True)
        assert each["seen"]["cached"] == 0
        # None if fio has ended before anybody looked, and if other processes have used AIO at the same time.
        assert (each["seen"]["threads"] or 0) <= each["asked"]["threads"]
        assert each["seen"]["depth"] in (None, each["asked"]["depth"])
    assert bench.left == []
    text = (bench.etc / f"{bench.name}.toml").read_text()
    assert ("verified_fio" in text) is (code == 0)
    assert codec.parse(text).device.name == bench.name
