"""The root-only Unix socket of `aio-tuned stop` and `retune`: one JSON line as request, one as answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import BusyError, Exit, NotRunningError, PrivilegeError, PublishError, TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)

_LINE_LIMIT = 1 << 16
_REQUEST_LIMIT_S = 30.0
# The clients served at once, and the further ones that the kernel queues.
_MOST_CLIENTS = 16
_BACKLOG = 100
# The pause after an accept that failed for lack of descriptors or memory.
_RETRY_S = 1.0
# Ending a sweep takes seconds, or up to two minutes if a raw device must be zeroed first.
_ANSWER_S = 150.0


def socket_path(runtime: Path) -> Path:
    """Return the path of the socket."""
    return runtime / "control.sock"


async def serve(path: Path, handle: Callable[[Mapping[str, Any]], Awaitable[str]]) -> ControlServer:
    """Start a server that answers each request with the sentence that `handle` returns for it.

    UsageError, TargetError, BusyError and PublishError of `handle` are sent to the client. Raise OSError if the socket
    cannot be created.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - left by a killed daemon, because this one holds the lock
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # A chmod after bind() would let other users connect in between, so the umask is set before bind().
    before = os.umask(0o177)
    try:
        listening.bind(str(path))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    listening.setblocking(False)
    return ControlServer(listening, handle)


class ControlServer:
    """The server of a listening socket, for at most 16 clients at a time.

    asyncio's own server has no limit: clients that send nothing would take all descriptors, and each failed accept logs
    a traceback. This one disconnects the client that has been silent for longest to accept the next.
    """

    def __init__(self, listening: socket.socket, handle: Callable[[Mapping[str, Any]], Awaitable[str]]) -> None:
        self._listening = listening
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._silent: dict[asyncio.Task[None], None] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._has_warned = False
        self._resume()

    def close(self) -> None:
        """Accept no more clients."""
        self._pause()
        if self._retry:
            self._retry.cancel()
        self._listening.close()

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def _pause(self) -> None:
        self._loop.remove_reader(self._listening.fileno())

    def _accept(self) -> None:
        if len(self._connections) >= _MOST_CLIENTS and not self._drop_silent(f"{_MOST_CLIENTS} clients at a time"):
            self._pause()  # until a client has its answer
            return
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # without descriptors or memory accept() fails again until the client gives up
            if not self._drop_silent(error.strerror or str(error)):
                self._pause()
                self._retry = self._loop.call_later(_RETRY_S, self._resume)
            return
        task = asyncio.ensure_future(self._serve(connection))
        self._connections.add(task)
        self._silent[task] = None
        task.add_done_callback(lambda _: self._end(task, connection))

    def _drop_silent(self, reason: str) -> bool:
        """End the connection that has been silent for longest; return False if all clients have sent a request."""
        if not self._has_warned:
            self._has_warned = True
            _log.warning("control socket: %s: disconnecting clients that have sent no request", reason)
        task = next(iter(self._silent), None)
        if task is None:
            return False
        self._forget(task)
        task.cancel()
        return True

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._silent.pop(task, None)
        self._connections.discard(task)

    def _end(self, task: asyncio.Task[None], connection: socket.socket) -> None:
        connection.close()  # a task that was cancelled before it began has not closed it
        self._forget(task)
        if not self._connections:
            self._has_warned = False
        if self._retry is None and self._listening.fileno() >= 0:
            self._resume()

    async def _serve(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LINE_LIMIT)
        try:
            line = await asyncio.wait_for(reader.readline(), _REQUEST_LIMIT_S)
            if task := asyncio.current_task():
                self._silent.pop(task, None)
            writer.write(json.dumps(await _answer(line, self._handle)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, asyncio.TimeoutError):
            pass  # the client has closed the connection, or has sent no line
        except Exception:  # noqa: BLE001 - a bug must not end the server
            _log.exception("control socket: request not answered: internal error")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _answer(line: bytes, handle: Callable[[Mapping[str, Any]], Awaitable[str]]) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError("not an object")  # noqa: TRY004, TRY301 - handled below like an error of json
    except (ValueError, RecursionError) as error:
        return {"error": f"invalid request: {error}", "exit_code": Exit.USAGE}
    try:
        return {"said": await handle(request)}
    except (TargetError, UsageError, BusyError, PublishError) as error:
        return {"error": str(error), "exit_code": error.exit_code}


def ask(runtime: Path, request: Mapping[str, Any]) -> str:
    """Send a request to the daemon and return its sentence for the operator.

    Raise the daemon's UsageError, TargetError, BusyError or PublishError, NotRunningError if the daemon is not running,
    BusyError if it does not respond, and PrivilegeError if the user is not root.
    """
    path = socket_path(runtime)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        # The kernel's timeout, because Python's makes the socket non-blocking: connect() would then fail on a full
        # backlog, which a daemon without descriptors does not empty for a second.
        limit = struct.pack("@ll", int(_ANSWER_S), 0)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            line.connect(str(path))
            line.settimeout(_ANSWER_S)
            line.sendall(json.dumps(dict(request)).encode() + b"\n")
            answer = json.loads(line.makefile("rb").readline())
        except PermissionError:
            raise PrivilegeError(f"{path}: permission denied; run the command as root") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError(
                f"{path}: the daemon is not running; start it with: systemctl start aio-tuned"
            ) from None
        except (OSError, ValueError) as error:
            raise BusyError(f"the daemon does not respond ({error}); see systemctl status aio-tuned") from None
    if "error" in answer:
        known = {kind.exit_code: kind for kind in (UsageError, BusyError, PublishError)}
        raise known.get(answer.get("exit_code"), TargetError)(str(answer["error"]))
    return str(answer.get("said", ""))
