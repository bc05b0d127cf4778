"""Calls of etcd's gateway: login, TLS, another endpoint on failure, and pauses between the attempts."""

from __future__ import annotations

import json
import secrets
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from aio_tuned.errors import ConfigError
from aio_tuned.fleet.store import (
    ClaimLostError,
    FullError,
    LoginError,
    RightsError,
    StoreError,
    TlsError,
    UnreachableError,
)

# Debian 12 has 2.0.0, whose calls have no time limit.
PACKAGE = f"[fleet] needs etcd3gw 2.7 or newer: {sys.executable} -m pip install 'etcd3gw>=2.7'"

try:
    import requests
    from etcd3gw.client import Etcd3Client
    from etcd3gw.exceptions import (
        ConnectionFailedError,
        ConnectionTimeoutError,
        Etcd3Exception,
        InternalServerError,
    )
except ImportError:
    raise ConfigError(PACKAGE) from None

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_T = TypeVar("_T")

_API_PATH = "/v3/"
# Pauses begin at this length, and each round of all endpoints doubles it.
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
# A token that was just got may be refused once: the roles were changed, or a member that lags does not know it.
_MOST_RENEWALS = 2
_LONGEST_REASON = 300
_CHUNK_BYTES = 1 << 20
_DICE = secrets.SystemRandom()


class TokenError(StoreError):
    """The token has expired, or the users and roles were changed since it was got."""


# What etcd's messages contain, the first that fits counts. "too many requests" is passing, as what has no message is.
_MESSAGES: tuple[tuple[str, type[StoreError], str], ...] = (
    ("invalid auth token", TokenError, "log in again"),
    ("revision of auth store is old", TokenError, "log in again"),
    ("user name is empty", TokenError, "log in again"),
    ("authentication failed", LoginError, "check the user and the password of [fleet]"),
    ("authentication is not enabled", LoginError, "enable it with `etcdctl auth enable`"),
    ("permission denied", RightsError, "give the user its role"),
    ("database space exceeded", FullError, "compact and defragment etcd, or raise its quota"),
    ("lease not found", ClaimLostError, "claim it again"),
    ("too many requests", UnreachableError, "it is tried again"),
)
_PASSING = (ConnectionFailedError, ConnectionTimeoutError, InternalServerError, requests.RequestException)


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdAccess:
    """The endpoints, such as https://etcd-1:2379, the user, and the certificate of the authority that signed etcd's.

    Raise ConfigError for an endpoint without TLS.
    """

    endpoints: tuple[str, ...]
    user: str
    password: str = field(repr=False)
    ca_file: Path

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ConfigError("[fleet] endpoints: has none; give those of etcd, such as https://etcd-1:2379")
        for endpoint in self.endpoints:
            address_of(endpoint)


def address_of(endpoint: str) -> tuple[str, int]:
    """Return the host and the port of an endpoint; raise ConfigError if it is not an https URL of a host."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme != "https" or not host or parts.path.strip("/") or parts.query or parts.username is not None:
        raise ConfigError(f"[fleet] endpoints: {endpoint!r} is not a URL such as https://etcd-1:2379")
    return host, port or 2379


class EtcdConnection:
    """Calls one endpoint, and another one if it fails. It is used by one thread at a time."""

    def __init__(
        self,
        access: EtcdAccess,
        *,
        call_timeout_s: float = 5.0,
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
        self._session.verify = str(access.ca_file)
        self._has_token = False
        self._clients = [self._client(endpoint) for endpoint in access.endpoints]
        # Not all nodes begin with the same endpoint.
        self._place = int(draw(0, len(self._clients))) % len(self._clients)

    def _client(self, endpoint: str) -> Etcd3Client:
        host, port = address_of(endpoint)
        try:
            return Etcd3Client(
                host, port, protocol="https", timeout=self._call_timeout_s, api_path=_API_PATH, session=self._session
            )
        except TypeError:  # an older release takes no session
            raise ConfigError(PACKAGE) from None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of a call; raise StoreError."""

        def post(client: Etcd3Client) -> dict[str, Any]:
            answer: dict[str, Any] = client.post(client.get_url(path), json=body)
            return answer

        return self._persist(post)

    def first_message(
        self, path: str, body: dict[str, Any], wait_s: float, wanted: Callable[[dict[str, Any]], _T | None]
    ) -> _T | None:
        """Return what `wanted` makes of the first message of a stream that it takes; None if it takes none in time."""
        return self._persist(lambda client: self._read_stream(client, path, body, wait_s, wanted))

    def _read_stream(
        self,
        client: Etcd3Client,
        path: str,
        body: dict[str, Any],
        wait_s: float,
        wanted: Callable[[dict[str, Any]], _T | None],
    ) -> _T | None:
        ends = time.monotonic() + wait_s
        begun = False
        try:
            with self._session.post(
                client.get_url(path), json=body, stream=True, timeout=(self._call_timeout_s, wait_s)
            ) as response:
                if response.status_code != requests.codes["ok"]:
                    raise Etcd3Exception(response.text, response.reason)
                # Each message is one chunk of HTTP, which parts of 512 bytes would put together in quadratic time.
                for line in response.iter_lines(_CHUNK_BYTES):
                    begun = True
                    message = json.loads(line or b"{}")
                    if "error" in message:
                        raise Etcd3Exception(json.dumps(message["error"]))
                    found = wanted(message.get("result", {}))
                    if found is not None or time.monotonic() >= ends:
                        return found
        except requests.RequestException:
            if not begun:
                raise
        if time.monotonic() < ends:
            self._rotate()  # the member ended, or the way to it
        return None

    def _persist(self, action: Callable[[Etcd3Client], _T]) -> _T:
        """Return the result of an action on a client; log in, rotate, pause and repeat where that may help."""
        gives_up = time.monotonic() + self._give_up_s
        renewals = failures = 0
        while True:
            client = self._clients[self._place]
            try:
                if not self._has_token:
                    self._log_in(client)
                return action(client)
            except (Etcd3Exception, OSError, ValueError) as error:
                fault = _fault(error, client)
            except StoreError as error:
                fault = error
            if isinstance(fault, TokenError) and renewals < _MOST_RENEWALS:
                renewals += 1
                self._has_token = False
                continue
            if not isinstance(fault, UnreachableError):
                raise fault
            self._rotate()
            failures += 1
            rounds, rest = divmod(failures, len(self._clients))
            pause_s = 0.0 if rest else self._draw(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**rounds))
            if time.monotonic() + pause_s >= gives_up:
                raise fault
            self._sleep(pause_s)

    def _rotate(self) -> None:
        self._place = (self._place + 1) % len(self._clients)

    def _log_in(self, client: Etcd3Client) -> None:
        self._session.headers.pop("Authorization", None)
        answer = client.post(
            client.get_url("auth/authenticate"), json={"name": self._access.user, "password": self._access.password}
        )
        self._session.headers["Authorization"] = answer["token"]
        self._has_token = True


def _fault(error: Exception, client: Etcd3Client) -> StoreError:
    """Return the error of ours for one of etcd3gw or requests."""
    text = str((error.detail_text if isinstance(error, Etcd3Exception) else None) or error)
    where = f"etcd at {client.host}:{client.port}"
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return TlsError(f"{where}: its certificate is not trusted: {_reason(text)}; check the CA file of [fleet]")
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return TlsError(f"{where}: cannot be called: {_reason(text)}; check the CA file of [fleet]")
    for part, kind, remedy in _MESSAGES:
        if part in text:
            return kind(f"{where}: {_reason(text)}; {remedy}")
    if isinstance(error, (*_PASSING, ValueError)):
        return UnreachableError(f"{where}: cannot be reached: {_reason(text)}; check the endpoints of [fleet]")
    return StoreError(f"{where}: {_reason(text)}; see the log of etcd")


def _reason(text: str) -> str:
    """Return the message in an answer of the gateway, else the text, in one line."""
    try:
        found = json.loads(text)
        text = str(found.get("error") or found.get("message") or text)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:_LONGEST_REASON]
