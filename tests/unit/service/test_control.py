from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import logging
import os
import re
import socket
import stat
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.errors import AioTunedError, BusyError, Exit, PrivilegeError, TargetError, UsageError
from aio_tuned.service import control
from unit.support.builders import PROJECT
from unit.support.limits import descriptors_left

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


async def handle(request: Mapping[str, Any]) -> str:
    """A daemon that knows one drive. A file ends what it is asked to do until then."""
    if request.get("do") == "wait":
        await asyncio.sleep(0.3)
    if until := request.get("until"):
        while not Path(until).exists():  # noqa: ASYNC110, ASYNC240 - as simple as a test can be
            await asyncio.sleep(0.01)
    if request.get("do") == "burn":
        raise RuntimeError("an error of ours")
    if request.get("do") == "dance":
        raise UsageError("unknown request 'dance'")
    if request.get("name") != "nvme-x":
        raise TargetError(f"{request.get('name')}: unknown drive")
    return f"done: {json.dumps(dict(request), sort_keys=True)}"


@asynccontextmanager
async def serving(runtime: Path) -> AsyncIterator[None]:
    server = await control.serve(control.socket_path(runtime), handle)
    try:
        yield
    finally:
        server.close()


def asked(runtime: Path, request: Mapping[str, Any]) -> str:
    """The whole way: a client in a thread, the daemon in the loop."""

    async def main() -> str:
        async with serving(runtime):
            return await asyncio.to_thread(control.ask, runtime, request)

    return asyncio.run(main())


def said(runtime: Path, line: bytes, *, then: Callable[[socket.socket], None] = lambda _: None) -> bytes:
    """All that the daemon answers to these bytes; afterwards it still serves others."""

    def talk() -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect(str(control.socket_path(runtime)))
            client.sendall(line)
            then(client)
            return client.makefile("rb").read()

    async def main() -> bytes:
        async with serving(runtime):
            answer = await asyncio.to_thread(talk)
            assert (await asyncio.to_thread(control.ask, runtime, {"name": "nvme-x"})).startswith("done")
            return answer

    return asyncio.run(main())


# --- the daemon is running -------------------------------------------------------------------------------


def test_a_request_is_answered(tmp_path: Path) -> None:
    assert asked(tmp_path, {"do": "stop", "name": "nvme-x"}) == 'done: {"do": "stop", "name": "nvme-x"}'


@pytest.mark.parametrize(
    ("request_", "kind", "code", "text"),
    [
        ({"name": "nvme-y"}, TargetError, 66, "nvme-y: unknown drive"),
        ({"name": "nvme-ÿ\n\udcff"}, TargetError, 66, "nvme-ÿ"),
        ({}, TargetError, 66, "None: unknown drive"),
        ({"do": "dance"}, UsageError, 64, "'dance'"),
    ],
)
def test_its_errors_are_raised_again(
    tmp_path: Path, request_: dict[str, str], kind: type[AioTunedError], code: int, text: str
) -> None:
    with pytest.raises(kind, match=text) as raised:
        asked(tmp_path, request_)
    assert raised.value.exit_code == code


@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_only_root_may_ask(tmp_path: Path, mask: int) -> None:
    async def main() -> tuple[int, int]:
        before = os.umask(mask)
        try:
            async with serving(tmp_path):
                mode = control.socket_path(tmp_path).stat().st_mode
                return stat.S_IMODE(mode), os.umask(mask)
        finally:
            os.umask(before)

    assert asyncio.run(main()) == (0o600, mask)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_user_is_told_to_become_root() -> None:
    async def main(runtime: Path) -> None:
        async with serving(runtime):
            os.seteuid(65534)
            try:
                await asyncio.to_thread(control.ask, runtime, {"name": "nvme-x"})
            finally:
                os.seteuid(0)

    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with pytest.raises(PrivilegeError, match="permission denied; run the command as root") as raised:
            asyncio.run(main(Path(folder)))
    assert raised.value.exit_code == 77


def test_two_at_a_time(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with serving(tmp_path):
            over = tmp_path / "over"
            words = {"name": "nvme-x", "until": str(over)}
            slow = asyncio.ensure_future(asyncio.to_thread(control.ask, tmp_path, words))
            quick = await asyncio.to_thread(control.ask, tmp_path, {"do": "stop", "name": "nvme-x"})
            assert not slow.done()
            over.touch()
            return [quick, await slow]

    quick, slow = asyncio.run(main())
    assert '"stop"' in quick
    assert '"until"' in slow


@pytest.mark.parametrize(
    "line",
    [b"\n", b"what?\n", b"[]\n", b"1\n", b"null\n", b"\xff\n", b'{"do": "stop"\n', b"[" * 20_000 + b"\n", b"{"],
    ids=range(9),
)
def test_what_is_no_request_is_an_error(tmp_path: Path, line: bytes) -> None:
    answer = json.loads(said(tmp_path, line, then=lambda client: client.shutdown(socket.SHUT_WR)))
    assert answer["exit_code"] == Exit.USAGE
    assert answer["error"].startswith("invalid request: ")


def test_a_line_that_never_ends_is_not_listened_to(tmp_path: Path) -> None:
    assert said(tmp_path, b"x" * 100_000) == b""


def test_a_client_that_goes_away_harms_nobody(tmp_path: Path) -> None:
    for line in (b"", b'{"do"', b'{"name": "nvme-x"}\n'):
        said(tmp_path, line, then=lambda client: client.shutdown(socket.SHUT_RDWR))


def test_an_error_of_the_daemon_ends_the_answer_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(tmp_path):
            with pytest.raises(BusyError, match=r"the daemon does not respond \(.+\); see systemctl status aio-tuned"):
                await asyncio.to_thread(control.ask, tmp_path, {"do": "burn"})
            assert (await asyncio.to_thread(control.ask, tmp_path, {"name": "nvme-x"})).startswith("done")

    asyncio.run(main())
    assert "control socket: request not answered: internal error" in caplog.text


# Connects as many times as it is told without a word, then asks as a client does.
_SILENT = """
import socket, sys
from pathlib import Path
from aio_tuned.service import control
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].connect(str(control.socket_path(Path(sys.argv[1]))))
print("connected", flush=True)
print(control.ask(Path(sys.argv[1]), {"name": "nvme-x"}), flush=True)
"""


@pytest.mark.parametrize("spare", [30, 6], ids=["capped", "no descriptors"])
def test_clients_that_say_nothing_neither_fill_the_log_nor_keep_others_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spare: int
) -> None:
    """With 30 descriptors left the number of clients is limited, with 6 left accept() fails."""
    caplog.set_level(logging.INFO)

    async def main() -> tuple[bytes, int]:
        turns = 0
        async with serving(tmp_path):
            words = ("-c", _SILENT, str(tmp_path), "114")
            environment = {**os.environ, "PYTHONPATH": str(PROJECT / "daemon")}
            pipe = asyncio.subprocess.PIPE
            client = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe, env=environment)
            with descriptors_left(spare):
                asking = asyncio.ensure_future(client.communicate())
                while not asking.done():
                    turns += 1
                    await asyncio.wait({asking}, timeout=0.05)
            return asking.result()[0], turns

    answered, _ = asyncio.run(main())
    assert answered.startswith(b"connected\ndone")
    (complaint,) = (record.getMessage() for record in caplog.records)
    assert re.fullmatch("control socket: .*: disconnecting clients that have sent no request", complaint)


def test_clients_that_wait_for_their_answer_are_not_disconnected(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with serving(tmp_path):
            words = {"do": "wait", "name": "nvme-x"}
            # Twice as many as are served at once; each takes 0.3 s.
            asking = [asyncio.to_thread(control.ask, tmp_path, words) for _ in range(32)]
            return await asyncio.gather(*asking)

    assert all(answer.startswith("done") for answer in asyncio.run(main()))


def test_a_client_waits_while_the_daemon_accepts_nobody(tmp_path: Path) -> None:
    """As it does for a second without descriptors, while the backlog fills up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening, ThreadPoolExecutor(1) as pool:
        listening.bind(str(control.socket_path(tmp_path)))
        listening.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.connect(str(control.socket_path(tmp_path)))
            asking = pool.submit(control.ask, tmp_path, {"name": "nvme-x"})
            with contextlib.suppress(concurrent.futures.TimeoutError):
                asking.result(timeout=0.3)
            listening.accept()[0].close()
        with listening.accept()[0] as connection, connection.makefile("rb") as request:
            # Before the end, since a client that sends later finds a broken pipe.
            assert json.loads(request.readline()) == {"name": "nvme-x"}
            connection.sendall(b'{"said": "done"}\n')
        assert asking.result(timeout=60) == "done"


def test_the_socket_of_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(control.socket_path(tmp_path)))
    with pytest.raises(BusyError):
        control.ask(tmp_path, {})
    assert asked(tmp_path, {"name": "nvme-x"}).startswith("done")


def test_a_file_in_its_place_is_replaced(tmp_path: Path) -> None:
    control.socket_path(tmp_path).write_text("")
    assert asked(tmp_path, {"name": "nvme-x"}).startswith("done")


# --- the daemon is not running ---------------------------------------------------------------------------


def test_an_absent_daemon(tmp_path: Path) -> None:
    with pytest.raises(BusyError, match="systemctl start aio-tuned") as raised:
        control.ask(tmp_path, {"do": "stop"})
    assert raised.value.exit_code == 69
    asked(tmp_path, {"name": "nvme-x"})
    with pytest.raises(BusyError, match="systemctl start aio-tuned"):
        control.ask(tmp_path, {"do": "stop"})


@pytest.mark.parametrize("answer", [b"", b"what?\n", b"\xff\n", b'{"said"'])
def test_one_that_speaks_otherwise_does_not_answer(tmp_path: Path, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_unix_server(talk, control.socket_path(tmp_path))
        try:
            await asyncio.to_thread(control.ask, tmp_path, {"do": "stop"})
        finally:
            server.close()

    with pytest.raises(BusyError, match=r"the daemon does not respond \(.+\); see systemctl status aio-tuned"):
        asyncio.run(main())
