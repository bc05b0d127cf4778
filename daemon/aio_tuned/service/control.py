"""The root-only Unix socket by which `aio-tuned stop` and `retune` reach the daemon: one JSON line each way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import BusyError, Exit, PrivilegeError, TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)

_LINE_LIMIT = 1 << 16
_PATIENCE_S = 30.0
# Clients that are served at once, and those that the kernel lets wait for that.
_MOST_CLIENTS = 16
_BACKLOG = 100
# The pause after an accept that failed for lack of descriptors or memory.
_RETRY_S = 1.0
# Ending a sweep takes seconds, but two minutes where a raw device that was written is zeroed first.
_ANSWER_S = 150.0


def socket_path(runtime: Path) -> Path:
    """Return the path of the socket."""
    return runtime / "control.sock"


async def serve(path: Path, handle: Callable[[Mapping[str, Any]], Awaitable[str]]) -> ControlServer:
    """Start a server that answers requests by `handle`, which returns a sentence for the operator.

    UsageError, TargetError and BusyError of `handle` are sent to the client. Raise OSError if the socket cannot be
    created.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a killed daemon left it: this one holds the lock
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With chmod after bind, other users could connect in between, so the umask is set before.
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
    """The server of a listening socket, for a few clients at a time.

    asyncio's own has no limit: clients that send nothing would take all descriptors, and each failed accept logs a
    traceback. Here the client that has been silent for longest makes room for the next one.
    """

    def __init__(self, listening: socket.socket, handle: Callable[[Mapping[str, Any]], Awaitable[str]]) -> None:
        self._listening = listening
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._talks: set[asyncio.Task[None]] = set()
        self._silent: dict[asyncio.Task[None], None] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._complained = False
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
        if len(self._talks) >= _MOST_CLIENTS and not self._drop_silent(f"{_MOST_CLIENTS} clients at a time"):
            self._pause()  # until one of them has its answer
            return
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # no descriptors or memory: accept() would fail for as long as the client waits
            if not self._drop_silent(error.strerror or str(error)):
                self._pause()
                self._retry = self._loop.call_later(_RETRY_S, self._resume)
            return
        talk = asyncio.ensure_future(self._talk(connection))
        self._talks.add(talk)
        self._silent[talk] = None
        talk.add_done_callback(lambda _: self._end(talk, connection))

    def _drop_silent(self, reason: str) -> bool:
        """End the connection that has been silent for longest; return whether there was one."""
        if not self._complained:
            self._complained = True
            _log.warning("control socket: %s; clients that send no request are disconnected", reason)
        talk = next(iter(self._silent), None)
        if talk is None:
            return False
        self._forget(talk)
        talk.cancel()
        return True

    def _forget(self, talk: asyncio.Task[None]) -> None:
        self._silent.pop(talk, None)
        self._talks.discard(talk)

    def _end(self, talk: asyncio.Task[None], connection: socket.socket) -> None:
        connection.close()  # of a talk that was cancelled before it began
        self._forget(talk)
        if not self._talks:
            self._complained = False
        if self._retry is None and self._listening.fileno() >= 0:
            self._resume()

    async def _talk(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LINE_LIMIT)
        try:
            line = await asyncio.wait_for(reader.readline(), _PATIENCE_S)
            if talk := asyncio.current_task():
                self._silent.pop(talk, None)
            writer.write(json.dumps(await _answer(line, self._handle)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, asyncio.TimeoutError):
            pass  # the client has closed the connection, or has sent no line
        except Exception:  # noqa: BLE001 - an error of ours costs this client its answer only
            _log.exception("control socket: a request was not answered")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _answer(line: bytes, handle: Callable[[Mapping[str, Any]], Awaitable[str]]) -> dict[str, Any]:
    try:
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError("not an object")  # noqa: TRY004, TRY301 - as json's own errors
    except (ValueError, RecursionError) as error:
        return {"error": f"not a request: {error}", "exit_code": Exit.USAGE}
    try:
        return {"said": await handle(request)}
    except (TargetError, UsageError, BusyError) as error:
        return {"error": str(error), "exit_code": error.exit_code}


def ask(runtime: Path, request: Mapping[str, Any]) -> str:
    """Send a request to the daemon and return its sentence for the operator.

    Raise the daemon's UsageError, TargetError or BusyError; BusyError if it does not run or answer, and PrivilegeError
    if the user is not root.
    """
    path = socket_path(runtime)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        # By the kernel's time-out: a socket with Python's is non-blocking, so its connect() does not wait for room in
        # the backlog, while a daemon without descriptors accepts nobody for a second.
        patience = struct.pack("@ll", int(_ANSWER_S), 0)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        try:
            line.connect(str(path))
            line.settimeout(_ANSWER_S)
            line.sendall(json.dumps(dict(request)).encode() + b"\n")
            answer = json.loads(line.makefile("rb").readline())
        except PermissionError:
            raise PrivilegeError(f"{path}: only root may tell the daemon what to do: run it with sudo") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise BusyError(
                f"the daemon is not there ({path}): start it with systemctl start aio-tuned, or run aio-tuned tune"
            ) from None
        except (OSError, ValueError) as error:
            raise BusyError(f"the daemon does not answer ({error}); see systemctl status aio-tuned") from None
    if "error" in answer:
        known = {kind.exit_code: kind for kind in (UsageError, BusyError)}
        raise known.get(answer.get("exit_code"), TargetError)(str(answer["error"]))
    return str(answer.get("said", ""))
