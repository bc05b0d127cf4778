"""What a Kubernetes API server refuses, as errors of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.fleet.store import FullError, LoginError, RightsError, StoreError, TlsError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_REASON = 300
# A server that is overloaded says how long to wait.
_LONGEST_RETRY_AFTER_S = 30


class NotFoundError(StoreError):
    """There is no such object."""


class ConflictError(StoreError):
    """The object was changed since it was read, or there is one of that name."""


class InvalidError(StoreError):
    """The object does not fit its schema, or is too large."""


class GoneError(StoreError):
    """The server no longer has a revision; `resume` continues a list without it, and is "" if it cannot."""

    def __init__(self, message: str, resume: str) -> None:
        super().__init__(message)
        self.resume = resume


class OverloadedError(UnreachableError):
    """The server asks to be called again later, after `retry_after_s` seconds at least."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


_BY_CODE: dict[int, tuple[type[StoreError], str]] = {
    401: (LoginError, "the token is refused: {}; mount one of the service account"),
    403: (RightsError, "permission denied: {}; apply the rights of docs/kubernetes/fleet.yaml"),
    404: (StoreError, "{}; apply the kinds of docs/kubernetes/fleet-kinds.yaml"),
    409: (ConflictError, "{}; read it again"),
    413: (InvalidError, "too large: {}"),
    422: (InvalidError, "{}; apply the kinds of docs/kubernetes/fleet-kinds.yaml of this release"),
}


def refused(status: Mapping[str, object], code: int, where: str, retry_after: str) -> StoreError:
    """Return the error for a Status object that was the answer."""
    said = one_line(str(status.get("message") or status.get("reason") or code))
    if "database space exceeded" in said:
        return FullError(f"{where}: {said}; compact and defragment its etcd, or raise the quota")
    if code == 410:  # noqa: PLR2004 - Gone
        metadata = status.get("metadata")
        resume = metadata.get("continue") if isinstance(metadata, dict) else ""
        return GoneError(f"{where}: {said}", str(resume or ""))
    if code == 429 or code >= 500:  # noqa: PLR2004 - Too Many Requests, and errors of the server
        wait_s = int(retry_after) if retry_after.isdecimal() else 0
        return OverloadedError(f"{where}: {said}; it is tried again", min(wait_s, _LONGEST_RETRY_AFTER_S))
    details = status.get("details")
    if code == 404 and isinstance(details, dict) and details.get("name"):  # noqa: PLR2004 - Not Found
        return NotFoundError(f"{where}: {said}")
    kind, text = _BY_CODE.get(code, (StoreError, "{}; see the log of the API server"))
    return kind(f"{where}: {text.format(said)}")


def unreachable(error: Exception, where: str) -> UnreachableError:
    """Return the error for one of requests."""
    text = one_line(str(error))
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return TlsError(f"{where}: its certificate is not trusted: {text}; check the CA file of the service account")
    return UnreachableError(f"{where}: cannot be reached: {text}; check the network of the pod")


def one_line(text: str) -> str:
    """Return a text in one line of at most 300 characters."""
    return " ".join(text.split())[:_LONGEST_REASON]
