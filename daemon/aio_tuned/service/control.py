"""The root-only Unix socket by which `aio-tuned stop` and `retune` reach the daemon: one JSON line each way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

from aio_tuned.errors import BusyError, Exit, PrivilegeError, TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

_LINE_LIMIT = 1 << 16
_PATIENCE_S = 30.0
# Ending a sweep takes seconds, but two minutes where a raw device that was written is zeroed first.
_ANSWER_S = 150.0


def socket_path(runtime: Path) -> Path:
    """Return the path of the socket."""
    return runtime / "control.sock"


async def serve(path: Path, handle: Callable[[Mapping[str, Any]], Awaitable[str]]) -> asyncio.AbstractServer:
    """Start a server that answers requests by `handle`, which returns a sentence for the operator.

    UsageError, TargetError and BusyError of `handle` are sent to the client. Raise OSError if the socket cannot be
    created.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), _PATIENCE_S)
            writer.write(json.dumps(await _answer(line, handle)).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, asyncio.TimeoutError):
            pass  # the client has closed the connection, or has sent no line
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a killed daemon left it: this one holds the lock
    # With chmod after bind, other users could connect in between, so the umask is set before.
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(talk, path, limit=_LINE_LIMIT)
    finally:
        os.umask(before)


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
        line.settimeout(_ANSWER_S)
        try:
            line.connect(str(path))
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
