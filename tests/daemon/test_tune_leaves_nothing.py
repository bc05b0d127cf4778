"""However a run ends, it leaves no file, no process, no lock, and the profile that was there before."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage
from busy import busy_s
from daemon.conftest import EXPERIMENTS
from processes import environment_with, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.conftest import Tuner

MIB = 1 << 20
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def used_bytes(path: Path) -> int:
    storage.run("sync", "--file-system", path)
    status = os.statvfs(path)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def assert_left(path: Path, used: int) -> None:
    """The space is free again at once, or nearly: a killed process lets go of its files a little after its end.

    A helper that was only just starting when its tuner was killed is nobody's known child: it may hold the folder
    for a moment with no space used.
    """
    assert until(lambda: abs(used_bytes(path) - used) < 8 * MIB), "the scratch file is still there"
    assert {entry.name for entry in path.iterdir()} <= {"lost+found"}
    assert until(lambda: unmounts(path)), "somebody is still in there"


def unmounts(path: Path) -> bool:
    """Whether the filesystem could be unmounted."""
    return subprocess.run(["umount", path], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "number"), [*(("ext4", number) for number in ENDS), ("xfs", signal.SIGKILL), ("btrfs", signal.SIGKILL)]
)
def test_a_run_ended_by_a_signal_in_its_sweep(
    endless: Tuner, filesystem: Callable[..., storage.Filesystem], kind: storage.Kind, number: signal.Signals
) -> None:
    made = filesystem(kind=kind, size_bytes=512 * MIB)
    endless.out.mkdir()
    old = dict.fromkeys((f"{profile_name(made)}.toml", "other.toml"), b"what was there before")
    for name, content in old.items():
        (endless.out / name).write_bytes(content)
    used = used_bytes(made.path)
    run = endless.start(made.path)
    run.reach("read 1/2")
    assert len(run.helpers) == 1
    assert used_bytes(made.path) - used >= 64 * MIB
    done = run.end(number)
    assert done.code == (-number if number == signal.SIGKILL else 128 + number)
    assert "Traceback" not in done.stderr
    if number != signal.SIGKILL:
        assert done.last == f"aio-tuned: ended by {number.name}: nothing was published, and no scratch file is left"
    assert done.stdout == ""
    assert endless.published() == old
    assert_left(made.path, used)


def profile_name(made: storage.Filesystem) -> str:
    """Of a loop device."""
    assert made.device is not None
    backing = Path("/sys/block", made.device.name, "loop/backing_file").read_text().strip()
    return "loop-" + backing.strip("/").replace("/", "_").replace(" (", "__").replace(")", "_")


@pytest.mark.parametrize("phase", ["reads and writes", "write 1/2"])
@pytest.mark.parametrize("number", ENDS)
def test_a_run_ended_in_its_preparation_or_in_its_writes(
    endless: Tuner, filesystem: Callable[..., storage.Filesystem], number: signal.Signals, phase: str
) -> None:
    made = filesystem()
    used = used_bytes(made.path)
    endless.configure(f"[sweep]\ntime_budget = {busy_s(8)}")
    run = endless.start(made.path)
    run.reach(phase)
    done = run.end(number)
    # Before there is a sweep to end in order, a signal may simply kill.
    assert done.code in (128 + number, -number)
    assert endless.published() == {}
    assert_left(made.path, used)


def test_an_interrupt_from_the_terminal_reaches_the_whole_group(
    endless: Tuner, filesystem: Callable[..., storage.Filesystem]
) -> None:
    made = filesystem()
    used = used_bytes(made.path)
    run = endless.start(made.path, under=("setsid",))
    run.reach("read 1/2")
    os.killpg(run.process.pid, signal.SIGINT)
    done = run.end()
    assert done.code == 130
    assert "Traceback" not in done.stderr
    assert_left(made.path, used)


def test_a_helper_that_is_killed_fails_the_run(endless: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem()
    used = used_bytes(made.path)
    run = endless.start(made.path)
    run.reach("read 1/2")
    (helper,) = run.helpers
    os.kill(helper, signal.SIGKILL)
    done = run.end()
    assert done.code == 70
    assert done.last.startswith("aio-tuned: aio-sweep: killed by signal 9 without an error message")
    assert endless.published() == {}
    assert_left(made.path, used)


def test_a_finished_run_leaves_nothing_either(quick: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem()
    used = used_bytes(made.path)
    quick.configure(EXPERIMENTS)
    run = quick.start(made.path)
    run.reach("read 1/2")
    assert run.end().code == 0
    assert sorted(name.rpartition(".")[2] for name in quick.published()) == ["jsonl", "toml"]
    assert_left(made.path, used)


def test_space_that_is_gone_after_the_decision(quick: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem()
    helper = quick.helper(f'fallocate -l "$(($(stat -f -c "%a*%S" {made.path}) - 32 * 1048576))" {made.path}/hog')
    done = quick.run(made.path, "--helper", helper)
    assert done.code == 69, done.stderr
    assert "too few for a scratch file" in done.last
    assert str(made.path) in done.last
    assert os.statvfs(made.path).f_bavail * os.statvfs(made.path).f_frsize > 24 * MIB
    assert {path.name for path in made.path.iterdir()} == {"lost+found", "hog"}
    assert quick.published() == {}


def test_a_second_run_on_the_same_device_is_refused_and_disturbs_nothing(
    endless: Tuner, filesystem: Callable[..., storage.Filesystem]
) -> None:
    made = filesystem()
    assert made.device is not None
    first = endless.start(made.path)
    first.reach("read 1/2")
    for target, arguments in ((made.path, []), (made.device, []), (made.device, ["--raw"])):
        second = endless.run(target, *arguments)
        assert second.code == 69
        assert f"{made.device}: locked by aio-tuned (process {first.process.pid}); try again later" in second.last
    assert first.process.poll() is None
    assert first.end(signal.SIGTERM).code == 143
    # The lock went with the first.
    assert endless.run(made.device, "--time-budget", "10s").code == 0


def test_a_reader_never_sees_a_torn_profile(quick: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    made = filesystem()
    quick.profile(made.path)
    (path,) = quick.out.glob("*.toml")
    first = path.read_bytes()
    seen = {first}
    # On a busy machine the second run may be worse than the first, and would not replace it.
    run = quick.start(made.path, "--replace")
    while run.process.poll() is None:
        seen.add(path.read_bytes())
    assert run.end().code == 0
    seen.add(path.read_bytes())
    assert len(seen) == 2
    for text in seen:
        assert text.startswith(b"# Generated by aio-tuned.")
        reread = quick.folder / "seen.toml"
        reread.write_bytes(text)
        shown = subprocess.run(
            quick.command("show", str(reread)), capture_output=True, check=False, env=environment_with({})
        )
        assert shown.returncode == 0
    assert list(quick.out.glob("*.toml")) == [path]


def test_the_profile_of_a_loop_device_is_named_after_its_file(
    quick: Tuner, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    backing = tmp_path / "a disk.img"
    backing.write_bytes(os.urandom(96 * MIB))
    node = Path(storage.run("losetup", "--find", "--show", backing))
    request.addfinalizer(lambda: storage.run("losetup", "--detach", node))
    storage.settle()
    profile = quick.profile(node)
    name = "loop-" + str(backing).strip("/").replace("/", "_").replace(" ", "_")
    assert profile["device"]["name"] == name
    assert profile["device"]["id"] == f"loop:{backing}"
    assert set(quick.published()) == {f"{name}.toml", f"{name}.samples.jsonl"}
