from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.load import Config
from aio_tuned.errors import Exit
from aio_tuned.service.worker import process
from aio_tuned.service.worker.messages import Deferred, Done, Failed, Job, Paused, Progress, Started, Zeroing, to_line
from aio_tuned.service.worker.process import Runner, command, make_first_to_die
from unit.support.builders import PROJECT, device, setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.service.worker.messages import Final, Message

    # (gone, result, seconds it took, seconds asked for)
    Closed = tuple[bool, Final, float, list[float]]
    # deaf, zeroing, babbling, stuck (with the signals that it got)
    Stubborn = tuple[Closed, Closed, tuple[Final, list[Message]], tuple[bool, Final, float, list[int]]]

PLAIN = Config(nice=0, io_priority="none")
JOB = Job(
    device=device(),
    config=PLAIN,
    seed=7,
    helper=None,
    checkpoint=Path("/nowhere/journal"),
    ledger=Path("/nowhere/ledger"),
)
DONE = Done(text="schema = 1\n")
WORKING = Progress(doing="read: 1/10 settings", share=0.1, left_s=9.0, best_bytes_per_s=1e9, written_bytes=5)


def says(*messages: Message, first: str = "", then: str = "") -> tuple[str, ...]:
    """A stand-in for the worker: a shell that takes no job, says these messages, and then does what it is told.

    What must hold when its messages are heard, such as a trap, it does `first`.
    """
    lines = b"".join(map(to_line, messages)).decode()
    return ("sh", "-c", f"{first}cat << 'EOF'\n{lines}EOF\n{then}")


def python(code: str) -> tuple[str, ...]:
    path = [str(PROJECT / "daemon"), str(PROJECT / "tests")]
    return (sys.executable, "-c", f"import sys; sys.path[:0] = {path}\n{code}")


async def ran(worker: tuple[str, ...], job: Job = JOB) -> tuple[Final, list[Message]]:
    """The final message, and the messages before it."""
    heard: list[Message] = []
    runner = await Runner.start(job, heard.append, worker)
    return await asyncio.wait_for(runner.result(), 20), heard


def run(worker: tuple[str, ...], job: Job = JOB) -> tuple[Final, list[Message]]:
    return asyncio.run(ran(worker, job))


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


# --- the command -----------------------------------------------------------------------------------------

WORKER = (sys.executable, "-m", "aio_tuned.service.worker")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where commands are looked for, with nice and ionice in it."""
    for name in ("nice", "ionice"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_worker_computes_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    final, _ = asyncio.run(ran(python("import os; raise SystemExit(int(os.environ['OPENBLAS_NUM_THREADS']) + 70)")))
    assert isinstance(final, Failed)
    assert "71" in final.reason, final


@pytest.mark.parametrize(
    ("nice", "io_priority", "words"),
    [
        (0, "none", []),
        (10, "none", ["nice -n 10"]),
        (0, "best-effort:7", ["ionice -t -c 2 -n 7"]),
        (0, "best-effort:0", ["ionice -t -c 2 -n 0"]),
        (0, "idle", ["ionice -t -c 3"]),
        (19, "idle", ["ionice -t -c 3", "nice -n 19"]),
    ],
)
def test_the_priorities_of_the_worker(path: Path, nice: int, io_priority: str, words: list[str]) -> None:
    before = " ".join(f"{path}/{each}" for each in words).split()
    assert command(Config(nice=nice, io_priority=io_priority)) == (*before, *WORKER)


@pytest.mark.parametrize("missing", ["nice", "ionice"])
def test_a_host_without_the_commands_does_without(path: Path, missing: str) -> None:
    (path / missing).unlink()
    words = command(Config(nice=10, io_priority="idle"))
    assert words[-3:] == WORKER
    assert not any(word.endswith(f"/{missing}") for word in words)
    assert len(words) > len(WORKER)


def test_the_worker_has_the_priorities() -> None:
    niceness = os.nice(0)
    job = replace(JOB, config=Config(nice=3, io_priority="best-effort:6"))
    code = "import os, subprocess\nfrom aio_tuned.service.worker.messages import Done, to_line\n"
    code += "io = subprocess.check_output(['ionice'])\n"
    final, _ = run(python(f"{code}sys.stdout.buffer.write(to_line(Done(text=f'{{os.nice(0)}} {{io.decode()}}')))"), job)
    assert final == Done(text=f"{min(19, niceness + 3)} best-effort: prio 6\n")


@pytest.mark.parametrize(("own", "worker"), [(500, 900), (0, 400), (800, 1000)])
def test_the_worker_is_killed_for_its_memory_before_the_daemon(tmp_path: Path, own: int, worker: int) -> None:
    for name, score in (("self", own), ("77", own)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "oom_score_adj").write_text(f"{score}\n")
    make_first_to_die(77, tmp_path)
    assert (tmp_path / "77/oom_score_adj").read_text() == str(worker)


def test_a_worker_that_has_gone_needs_no_score(tmp_path: Path) -> None:
    make_first_to_die(77, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_helper_inherits_the_score() -> None:
    code = "import subprocess\nsys.stdin.buffer.read(1)\n"  # the score is set before the job is sent
    code += "from aio_tuned.service.worker.messages import Done, to_line\n"
    code += "score = subprocess.check_output(['cat', '/proc/self/oom_score_adj'], text=True)\n"
    code += "sys.stdout.buffer.write(to_line(Done(text=score)))"
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert run(python(code))[0] == Done(text=f"{min(1000, own + 400)}\n")


# --- what it says ----------------------------------------------------------------------------------------


def test_the_messages_are_heard_in_their_order_and_the_last_is_the_result() -> None:
    told: list[Message] = [Started(where="here"), WORKING, Paused(reason="busy"), Paused(reason=""), Zeroing(), WORKING]
    assert run(says(*told, DONE)) == (DONE, told)


@pytest.mark.parametrize(
    "final", [DONE, Deferred(reason="busy", seconds=300.0), Failed(reason="media error", exit_code=74)]
)
def test_the_result_counts_however_the_worker_leaves(final: Final) -> None:
    assert run(says(final)) == (final, [])
    assert run(says(final, then="exit 3")) == (final, [])
    assert run(says(final, then="kill -KILL $$")) == (final, [])


def test_the_job_arrives_however_long_it_is() -> None:
    settings = tuple(setting(depth=depth, threads=threads) for depth in range(1, 100) for threads in range(1, 20))
    job = replace(JOB, settings={"read": settings})
    code = (
        "from aio_tuned.service.worker import messages as job\n"
        "found = job.receive(sys.stdin.buffer)\nlast = found.settings['read'][-1]\n"
        "sys.stdout.buffer.write(job.to_line(job.Done(text=f'{last.queue_depth} {found.device.name}')))"
    )
    final, _ = run(python(code), job)
    assert final == Done(text=f"99 {device().name}")


def test_a_profile_of_megabytes_comes_through() -> None:
    code = "from aio_tuned.service.worker import messages as job\n"
    code += "sys.stdout.buffer.write(job.to_line(job.Done(text='x' * 4_000_000)))"
    final, _ = run(python(code))
    assert final == Done(text="x" * 4_000_000)


def test_it_stands_in_the_root_folder_and_in_a_session_of_its_own() -> None:
    code = (
        "import os\nfrom aio_tuned.service.worker.messages import Done, to_line\nalone = os.getsid(0) == os.getpid()\n"
        "sys.stdout.buffer.write(to_line(Done(text=f'{os.getcwd()} {alone}')))"
    )
    final, _ = run(python(code))
    assert final == Done(text="/ True")


# --- one that goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("exit 0", "worker process exited with code 0 before the sweep was complete"),
        ("exit 3", "worker process exited with code 3 before the sweep was complete"),
        ("kill -KILL $$", "worker process killed by signal 9 before the sweep was complete"),
        ("kill -SEGV $$", "worker process killed by signal 11 before the sweep was complete"),
    ],
)
def test_a_worker_that_dies_is_an_error_that_says_how(end: str, text: str) -> None:
    final, heard = run(says(WORKING, then=end))
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.HELPER
    assert text in final.reason
    assert heard == [WORKING]


@pytest.mark.parametrize("then", ["printf 'what?\\n'", "true"])
def test_a_worker_that_stays_after_its_result_is_ended(then: str) -> None:
    """A thread of it that a dead drive holds would keep its process, and with it the others' turn, for ever."""
    started = time.monotonic()
    final, _ = run(says(DONE, then=f"{then}; exec sleep 30"))
    assert final == DONE
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("garbage", ["what?", '{"type": "Done"}', "\\377", ""])
def test_garbage_ends_the_worker_and_is_no_result(garbage: str) -> None:
    started = time.monotonic()
    final, _ = run(says(then=f"printf '{garbage}\\n'; exec sleep 30"))
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.HELPER
    assert final.reason
    assert "before the sweep was complete" not in final.reason
    assert time.monotonic() - started < 4


def test_a_line_without_end_is_garbage() -> None:
    final, _ = run(("sh", "-c", "exec tr '\\0' x < /dev/zero"))
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.HELPER


def test_a_program_that_is_not_there_is_an_oserror() -> None:
    with pytest.raises(OSError, match="No such file"):
        run(("/no/such/worker",))


def test_a_worker_that_takes_no_job_is_heard_all_the_same() -> None:
    final, _ = run(("sh", "-c", "exit 7"), replace(JOB, checkpoint=Path("x" * 1_000_000)))
    assert isinstance(final, Failed)
    assert "exited with code 7" in final.reason


# --- the end ---------------------------------------------------------------------------------------------

# On a machine whose processors are busy; what is not limited takes 30 s or more.
LATEST_S = 25.0
ENDED = Failed(reason="sweep stopped", exit_code=Exit.TERMINATED)
OBEDIENT = says(
    WORKING,
    first=f"END='{to_line(ENDED).decode().strip()}'; trap 'echo \"$END\"; exit 0' TERM; ",
    then="while :; do sleep 0.05; done",
)


async def closed(worker: tuple[str, ...], when_extended: Callable[[], object] = lambda: None) -> Closed:
    heard: list[Message] = []
    runner = await Runner.start(JOB, heard.append, worker)
    result = asyncio.ensure_future(runner.result())
    await until(lambda: bool(heard))
    started, extended = time.monotonic(), list[float]()

    def extend(seconds: float) -> None:
        extended.append(seconds)
        when_extended()

    gone = await runner.close(extend)
    took = time.monotonic() - started
    return gone, await asyncio.wait_for(result, 5), took, extended


def test_one_that_obeys_has_gone_at_once() -> None:
    gone, final, took, extended = asyncio.run(closed(OBEDIENT))
    assert gone
    assert final == ENDED
    assert took < 2
    assert extended == []


class Stuck:
    """A process in the kernel's D state, which nothing can end."""

    def __init__(self) -> None:
        self.stdout = asyncio.StreamReader()
        self.got: list[int] = []

    async def wait(self) -> int:
        await asyncio.Event().wait()
        return 0

    def send_signal(self, number: int) -> None:
        self.got.append(number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        self.stdout.feed_eof()


async def left_behind() -> tuple[bool, Final, float, list[int]]:
    """As `closed`, but with the signals that it got."""
    stuck: Any = Stuck()
    runner = Runner(stuck, lambda _: None)
    result = asyncio.ensure_future(runner.result())
    started = time.monotonic()
    gone = await runner.close()
    took = time.monotonic() - started
    found = await asyncio.wait_for(result, 1)
    return gone, found, took, stuck.got


@pytest.fixture(scope="module")
def stubborn(tmp_path_factory: pytest.TempPathFactory) -> Stubborn:
    """Those that do not obey, all at once: each of them takes its time."""
    deaf = "trap '' TERM; "
    zeroed = tmp_path_factory.mktemp("worker") / "zeroed"

    async def all_at_once() -> Stubborn:
        return await asyncio.gather(
            closed(says(WORKING, first=deaf, then="exec sleep 60")),
            closed(
                says(WORKING, Zeroing(), first=deaf, then=f"until [ -e {zeroed} ]; do sleep 0.05; done"), zeroed.touch
            ),
            ran(("sh", "-c", "trap '' TERM; echo what?; exec sleep 30")),
            left_behind(),
        )

    return asyncio.run(all_at_once())


def test_one_that_does_not_obey_is_killed(stubborn: Stubborn) -> None:
    gone, final, took, extended = stubborn[0]
    assert gone
    assert isinstance(final, Failed)
    assert "killed by signal 9" in final.reason
    assert extended == []
    assert process._END_S < took < LATEST_S


def test_one_that_zeroes_what_it_wrote_is_given_the_time(stubborn: Stubborn) -> None:
    gone, final, took, extended = stubborn[1]
    assert gone
    assert isinstance(final, Failed)
    assert "exited with code 0" in final.reason
    assert extended == [120.0]
    assert process._END_S < took < LATEST_S


def test_garbage_from_one_that_does_not_obey_is_ended_by_force(stubborn: Stubborn) -> None:
    final, heard = stubborn[2]
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.HELPER
    assert "stuck" not in final.reason
    assert heard == []


def test_one_that_is_stuck_in_the_kernel_is_left_behind(stubborn: Stubborn) -> None:
    gone, final, took, signals = stubborn[3]
    assert not gone
    assert signals == [signal.SIGTERM, signal.SIGKILL]
    assert isinstance(final, Failed)
    assert final.exit_code == Exit.IO
    assert "D state" in final.reason
    assert process._END_S + process._KILL_S < took < LATEST_S
    assert process._END_S + process._KILL_S < 7, "of the 10 s that systemd waits for the daemon"


def test_ending_one_that_has_gone_is_no_error() -> None:
    async def main() -> bool:
        runner = await Runner.start(JOB, lambda _: None, says(DONE))
        await runner.result()
        runner.end()
        return await runner.close()

    assert asyncio.run(main())


DYING_DAEMON = """
import asyncio, os
from aio_tuned.service.worker.process import Runner
from unit.service.worker.test_worker_process import JOB

async def main():
    worker = f"cd {sys.argv[1]}; : > there; cat > /dev/null; : > gone"
    await Runner.start(JOB, print, ("sh", "-c", worker))
    while not os.path.exists(f"{sys.argv[1]}/there"):
        await asyncio.sleep(0.01)
    os._exit(0)

asyncio.run(main())
"""


def test_a_worker_hears_of_its_daemons_death(tmp_path: Path) -> None:
    subprocess.run([*python(DYING_DAEMON), tmp_path], check=True, timeout=30)
    end = time.monotonic() + 10
    while not (tmp_path / "gone").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
