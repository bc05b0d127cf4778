"""Calls of a Kubernetes API server: token, TLS, pauses between the attempts, and streams of changes."""

from __future__ import annotations

import json
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from aio_tuned import extras
from aio_tuned.errors import ConfigError
from aio_tuned.fleet.kube_errors import GoneError, OverloadedError, one_line, refused, unreachable
from aio_tuned.fleet.store import LoginError, UnreachableError

# Kubernetes' own client takes 58 MB for its import where requests takes 39, and its releases differ in how they patch.
try:
    import requests
except ImportError:
    raise ConfigError(f"[fleet] needs requests: {extras.get('python3-requests', 'requests')}") from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_T = TypeVar("_T")

MERGE_PATCH = "application/merge-patch+json"

# Pauses begin at this length, and each attempt doubles it.
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
# A server whose clock is behind by more was set back, or is another one.
_CLOCK_STEP_S = 2.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DICE = secrets.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeAccess:
    """The URL of the API server, the certificate of its authority, and the files of the service account.

    A URL of this host may be without TLS and token: `kubectl proxy` listens there. Raise ConfigError for another one.
    """

    server: str
    ca_file: Path | None = None
    token_file: Path | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.server)
        local = parts.scheme == "http" and parts.hostname in _LOOPBACK
        if not (local or (parts.scheme == "https" and parts.hostname)) or parts.query or parts.username is not None:
            raise ConfigError(
                f"[fleet] endpoints: {self.server!r} is no API server; give https://HOST:PORT, "
                "or http://127.0.0.1:8001 with `kubectl proxy`"
            )

    def token(self) -> str:
        """Return the token, which the kubelet renews in its file; "" without a file."""
        if self.token_file is None:
            return ""
        try:
            return self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise LoginError(f"{self.token_file}: cannot be read: {error}; mount a token of the account") from None


class KubeConnection:
    """Calls the API server, again and again if it cannot be reached. It is used by one thread at a time."""

    def __init__(
        self,
        access: KubeAccess,
        *,
        call_timeout_s: float = 10.0,
        give_up_s: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
        draw: Callable[[float, float], float] = _DICE.uniform,
    ) -> None:
        self._access = access
        self._call_timeout_s = call_timeout_s
        self._give_up_s = give_up_s
        self._sleep = sleep
        self._draw = draw
        self._session = requests.Session()
        # Else variables of the environment could replace the CA file, or send the calls to a proxy.
        self._session.trust_env = False
        self._session.verify = str(access.ca_file) if access.ca_file else True
        self._ahead_s = 0.0

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def now_s(self) -> float:
        """Return the Unix time by the server's clock, as of its last answer, since clocks of nodes may be apart."""
        return time.monotonic() + self._ahead_s

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        """Return the object of an answer; raise StoreError, NotFoundError and its siblings among them."""
        data = None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"Content-Type": content_type} if data else {}
        return self._persist(lambda: self._call(method, path, params, data, headers))

    def patch(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Return the object after a merge: fields that are None are removed, others are set."""
        return self.call("PATCH", path, body=body, content_type=MERGE_PATCH)

    def pages(self, path: str, params: Mapping[str, str], page: int) -> Iterator[list[dict[str, Any]]]:
        """Yield the objects of a list in the order of their names, `page` at a time.

        All pages are as of the first one's time, unless the server no longer has that.
        """
        resume = ""
        while True:
            asked = {**params, "limit": str(page), **({"continue": resume} if resume else {})}
            try:
                answer = self.call("GET", path, params=asked)
            except GoneError as error:
                if not error.resume:
                    raise
                resume = error.resume
                continue
            yield answer.get("items") or []
            resume = answer.get("metadata", {}).get("continue") or ""
            if not resume:
                return

    def changes(self, path: str, revision: str, wait_s: float) -> Iterator[dict[str, Any]]:
        """Yield what happened to the objects of a list after the revision, for `wait_s` seconds at most.

        Raise GoneError if the server no longer has all of it.
        """
        params = {
            "watch": "true",
            "resourceVersion": revision,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, round(wait_s))),
        }
        ends = time.monotonic() + wait_s
        # The server ends the call in time; a connection that is dead does not.
        silent_s = wait_s + self._call_timeout_s
        with self._persist(lambda: self._send("GET", path, params, None, {}, silent_s)) as response:
            try:
                for line in response.iter_lines():
                    event = json.loads(line or b"{}")
                    if event.get("type") == "ERROR":
                        status = event.get("object") or {}
                        raise refused(status, int(status.get("code") or 0), self._where, "")
                    if event:
                        yield event
                    if time.monotonic() >= ends:
                        return
            except (requests.RequestException, ValueError):
                return  # it took too long, or the connection ended: what follows is asked for again

    @property
    def _where(self) -> str:
        return f"API server at {urlsplit(self._access.server).netloc}"

    def _call(
        self, method: str, path: str, params: Mapping[str, str] | None, data: bytes | None, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        with self._send(method, path, params, data, headers, self._call_timeout_s) as response:
            try:
                found: dict[str, Any] = response.json()
            except (requests.RequestException, ValueError) as error:
                raise UnreachableError(f"{self._where}: answers what is no JSON: {one_line(str(error))}") from None
            return found

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        headers: Mapping[str, str],
        read_timeout_s: float,
    ) -> requests.Response:
        """Return an answer whose body is still to be read; raise StoreError if the server refuses the call."""
        try:
            response = self._session.request(
                method,
                self._access.server.rstrip("/") + path,
                params=params,
                data=data,
                headers={"Accept": "application/json", **headers, **self._login()},
                timeout=(self._call_timeout_s, read_timeout_s),
                stream=True,
                allow_redirects=False,
            )
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            raise unreachable(error, self._where) from None
        self._set_clock(response.headers.get("Date", ""))
        if response.ok:
            return response
        with response:
            try:
                status = response.json()
            except (requests.RequestException, ValueError):
                status = {"message": response.reason}
        raise refused(status, response.status_code, self._where, response.headers.get("Retry-After", ""))

    def _set_clock(self, date: str) -> None:
        """Compare the clocks. The header has whole seconds, so the greatest difference is the best one."""
        with suppress(TypeError, ValueError):  # without the header, or with another text in it
            ahead_s = parsedate_to_datetime(date).timestamp() - time.monotonic()
            if not 0 <= self._ahead_s - ahead_s <= _CLOCK_STEP_S:
                self._ahead_s = ahead_s

    def _login(self) -> dict[str, str]:
        token = self._access.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _persist(self, action: Callable[[], _T]) -> _T:
        """Return the result of an action; pause and repeat it as long as the server cannot be reached."""
        gives_up = time.monotonic() + self._give_up_s
        longest_s = _FIRST_PAUSE_S
        while True:
            try:
                return action()
            except UnreachableError as error:
                pause_s = self._draw(0, longest_s) + (error.retry_after_s if isinstance(error, OverloadedError) else 0)
                longest_s = min(2 * longest_s, _LONGEST_PAUSE_S)
                if time.monotonic() + pause_s >= gives_up:
                    raise
            self._sleep(pause_s)


def segment(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="")
