"""A stand-in for the API server of Kubernetes, at the level of HTTP, with the kinds and rights of docs/kubernetes.

It has what the store uses: objects with resource versions, lists in pages, watches, merge patches, the status as a
resource of its own, and Leases. It is no API server: what it does was written from the documentation of Kubernetes.
"""

from __future__ import annotations

import base64
import copy
import json
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import kubernetes_validate

from fleet.kube_manifests import Kinds, Policies, Rights, Target, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

KUBERNETES = "1.31"
KINDS, RIGHTS, POLICIES = Kinds(), Rights(), Policies()
_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

Object = dict[str, Any]


class ApiError(Exception):
    """An answer that is a Status."""

    def __init__(self, code: int, reason: str, message: str, **status: Any) -> None:  # noqa: ANN401 - fields of it
        super().__init__(message)
        self.code = code
        self.status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
        self.status |= status


class Event(NamedTuple):
    revision: int
    target: Target
    type: str
    object: Object


class Fault(NamedTuple):
    """What happens to the next call: an answer with that code, or with 0, no answer to a call that was carried out."""

    code: int
    headers: Mapping[str, str]
    message: str = "as the test asked"


@dataclass(eq=False)
class KubeApi:
    """The objects, and what happened to them.

    `ahead_s` is how far the clock of the server is from that of the host. A second of a watch lasts `second_s`.
    """

    users: dict[str, User] = field(default_factory=dict)
    ahead_s: float = 0.0
    second_s: float = 0.2
    url: str = ""
    changed: threading.Condition = field(default_factory=threading.Condition)
    faults: list[Fault | None] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    revision: int = 1000
    oldest: int = 0
    _objects: dict[Target, Object] = field(default_factory=dict)
    _events: list[Event] = field(default_factory=list)
    _lists: dict[str, list[Object]] = field(default_factory=dict)

    def now(self) -> float:
        return time.time() + self.ahead_s

    def compact(self) -> None:
        """Forget what happened before now, and all lists whose pages are still being read."""
        with self.changed:
            self.oldest = self.revision
            self._lists.clear()

    # --- one call each; the caller holds `changed` ------------------------------------------------------------

    def get(self, target: Target) -> Object:
        try:
            return self._objects[target._replace(resource=target.plural)]
        except KeyError:
            message = f'{target.plural}.{target.group} "{target.name}" not found'
            raise ApiError(404, "NotFound", message, details={"name": target.name, "kind": target.plural}) from None

    def page(self, target: Target, asked: Mapping[str, str]) -> Object:
        size = int(asked.get("limit", 0)) or len(self._objects) + 1
        token = asked.get("continue", "")
        if token:
            after = base64.b64decode(token.partition(".")[2]).decode()
            if token in self._lists:
                found = self._lists.pop(token)
            elif token.startswith("any."):
                found = [each for each in self._of(target, asked) if each["metadata"]["name"] > after]
            else:
                resumed = {"continue": f"any.{token.partition('.')[2]}"}
                raise ApiError(410, "Expired", "The provided continue parameter is too old", metadata=resumed)
        else:
            found = self._of(target, asked)
        metadata = {"resourceVersion": str(self.revision)}
        if len(found) > size:
            last = base64.b64encode(found[size - 1]["metadata"]["name"].encode()).decode()
            metadata["continue"] = f"{uuid.uuid4()}.{last}"
            self._lists[metadata["continue"]] = found[size:]
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": found[:size]}

    def _of(self, target: Target, asked: Mapping[str, str]) -> list[Object]:
        key, _, value = asked.get("labelSelector", "").partition("=")
        found = [each for of, each in self._objects.items() if of._replace(name="") == target._replace(name="")]
        if key:
            found = [each for each in found if each["metadata"].get("labels", {}).get(key) == value]
        return sorted((copy.deepcopy(each) for each in found), key=lambda each: str(each["metadata"]["name"]))

    def create(self, user: User, target: Target, new: Object) -> Object:
        target = target._replace(name=new["metadata"]["name"])
        if target in self._objects:
            raise ApiError(409, "AlreadyExists", f'{target.plural}.{target.group} "{target.name}" already exists')
        new["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._time(), "generation": 1}
        if KINDS.has_status(target.plural):
            new.pop("status", None)
        return self._store(user, target, new, None)

    def update(self, user: User, target: Target, new: Object) -> Object:
        old = self.get(target)
        asked = new["metadata"].get("resourceVersion", "")
        if asked and asked != old["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", f"{target.name}: the object has been modified; please apply your changes")
        if target.resource.endswith("/status"):
            new = {**copy.deepcopy(old), "status": new.get("status", {})}
        elif KINDS.has_status(target.plural):
            new = {**new, **({"status": old["status"]} if "status" in old else {})}
        same = ("uid", "creationTimestamp", "generation", "resourceVersion", "managedFields")
        new["metadata"] = {**new["metadata"], **{key: old["metadata"][key] for key in same if key in old["metadata"]}}
        if new.get("spec") != old.get("spec") and target.group != "coordination.k8s.io":
            new["metadata"]["generation"] += 1
        return self._store(user, target, new, old)

    def delete(self, target: Target) -> Object:
        found = copy.deepcopy(self.get(target))
        self.revision += 1
        del self._objects[target]
        found["metadata"]["resourceVersion"] = str(self.revision)
        self._tell(target, "DELETED", found)
        return found

    def _store(self, user: User, target: Target, new: Object, old: Object | None) -> Object:
        refusal = POLICIES.refuse(user, target, new, old)
        if refusal:
            message = f'{target.plural}.{target.group} "{target.name}" is forbidden: {refusal.message}'
            raise ApiError(403, refusal.reason, message)
        self._validate(target, new)
        if new == old:
            return new
        if old is None or new.get("spec") != old.get("spec"):
            new["metadata"]["managedFields"] = [{"time": self._time(), "fieldsV1": {"f:spec": {}}}]
        self.revision += 1
        new["metadata"]["resourceVersion"] = str(self.revision)
        self._objects[target._replace(resource=target.plural)] = new
        self._tell(target._replace(resource=target.plural), "MODIFIED" if old else "ADDED", new)
        return new

    def _validate(self, target: Target, new: Object) -> None:
        if target.plural in KINDS.versions:
            fault = KINDS.fault(target.plural, new)
        else:
            try:
                kubernetes_validate.validate(new, KUBERNETES, strict=True)
                fault = ""
            except kubernetes_validate.ValidationError as error:
                fault = str(error)
        if fault:
            raise ApiError(422, "Invalid", f"{target.plural} {target.name} is invalid: {fault}")

    def _tell(self, target: Target, kind: str, found: Object) -> None:
        self._events.append(Event(self.revision, target, kind, copy.deepcopy(found)))
        self.changed.notify_all()

    def _time(self) -> str:
        return datetime.fromtimestamp(self.now(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def watch(self, target: Target, asked: Mapping[str, str]) -> Iterator[Object]:
        """Yield what happened after a revision, until the time of the call has passed."""
        since = int(asked["resourceVersion"])
        ends = time.monotonic() + int(asked["timeoutSeconds"]) * self.second_s
        if since < self.oldest:
            yield {"type": "ERROR", "object": ApiError(410, "Expired", f"too old resource version: {since}").status}
            return
        while time.monotonic() < ends:
            with self.changed:
                found = [
                    each
                    for each in self._events
                    if each.revision > since and each.target._replace(name="") == target._replace(name="")
                ]
                if not found:
                    self.changed.wait(min(0.1, max(0, ends - time.monotonic())))
            for each in found:
                since = each.revision
                yield {"type": each.type, "object": each.object}
        with self.changed:
            if not any(each.revision > since and each.target.plural == target.plural for each in self._events):
                yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(self.revision)}}}


def merged(old: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    made = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made


def target_of(path: str) -> Target:
    """What a path is about: /apis/GROUP/VERSION[/namespaces/NAMESPACE]/PLURAL[/NAME[/status]]."""
    match [unquote(part) for part in path.split("/")[1:]]:
        case ["apis", group, _, "namespaces", namespace, plural, *rest]:
            pass
        case ["apis", group, _, plural, *rest]:
            namespace = ""
        case _:
            group = namespace = plural = ""
            rest = []
    known = (group == "aio-tuned.io" and plural in KINDS.versions) or (group, plural) == (
        "coordination.k8s.io",
        "leases",
    )
    if not known or len(rest) > 2:
        raise ApiError(404, "NotFound", "the server could not find the requested resource", details={})
    return Target(group, "/".join([plural, *rest[1:]]), namespace, rest[0] if rest else "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: KubeApi

    def log_message(self, *_: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(self.api.now() if timestamp is None else timestamp, usegmt=True)

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        self.api.calls.append(f"{self.command} {url.path}")
        fault = self.api.faults.pop(0) if self.api.faults else None
        try:
            user = self._user(fault)
            code, answer = self._answer(user, target_of(url.path), dict(parse_qsl(url.query)), body)
        except ApiError as error:
            code, answer = error.code, error.status
        except Exception as error:  # noqa: BLE001 - a fault of the stand-in, which is no fault of the network
            code, answer = 418, ApiError(418, "", f"the stand-in: {error!r}").status
        if fault and not fault.code:
            self.close_connection = True
            return
        if answer is not None:
            data = json.dumps(answer).encode()
            self.send_response(code)
            for key, value in {**(fault.headers if fault else {}), "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - named by http.server

    def _user(self, fault: Fault | None) -> User:
        if fault and fault.code:
            raise ApiError(fault.code, "", fault.message)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.api.users:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return self.api.users[token]

    def _answer(self, user: User, target: Target, asked: Mapping[str, str], body: bytes) -> tuple[int, Object | None]:
        """Return the code and the object of an answer; None for a stream, which was sent."""
        verb = _VERBS[self.command]
        if verb == "get" and not target.name:
            verb = "watch" if asked.get("watch") == "true" else "list"
        if not RIGHTS.allow(user, verb, target):
            where = f'"{target.name}" is forbidden: User "{user.info["username"]}" cannot {verb} resource'
            raise ApiError(403, "Forbidden", f"{target.plural}.{target.group} {where}")
        if verb == "watch":
            self._stream(self.api.watch(target, asked))
            return 200, None
        api = self.api
        with api.changed:
            if verb == "list":
                return 200, api.page(target, asked)
            if verb == "get":
                return 200, copy.deepcopy(api.get(target))
            if verb == "delete":
                return 200, api.delete(target)
            given = json.loads(body)
            if verb == "create":
                return 201, copy.deepcopy(api.create(user, target, given))
            if verb == "patch":
                if self.headers["Content-Type"] != "application/merge-patch+json":
                    raise ApiError(415, "UnsupportedMediaType", "only merge patches")
                old = copy.deepcopy(api.get(target))
                given = merged(old, given)
            return 200, copy.deepcopy(api.update(user, target, given))

    def _stream(self, events: Iterator[Object]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for each in events:
                line = json.dumps(each).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client went
            self.close_connection = True


@contextmanager
def kube_api(users: Mapping[str, User], wrap: Callable[[Any], Any] = lambda socket: socket) -> Iterator[KubeApi]:
    """Serve the stand-in on a port of the loopback; `wrap` may give its socket TLS."""
    api = KubeApi(users=dict(users))

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), type("Bound", (Handler,), {"api": api})) as server:
        server.socket = wrap(server.socket)
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
