#!/usr/bin/python
"""Users and roles of an etcd with authentication, by etcd's own gateway."""

from __future__ import annotations

DOCUMENTATION = """
module: fleet_etcd_users
short_description: Manages the users and roles of an etcd, and enables its authentication
description:
  - Adds the roles and users that are missing, and gives them exactly the rights and roles that are listed.
  - Roles and users that are not named stay as they are. It logs in once, so 10,000 users need no 10,000 logins.
options:
  endpoint: {type: str, required: true, description: The URL of a member, such as https://etcd-1:2379.}
  ca_file: {type: path, required: true, description: The certificate of the authority that signed the member's.}
  password: {type: str, required: true, description: The password of etcd's user root, which is added if needed.}
  roles:
    type: list
    elements: dict
    default: []
    description: Roles with all the rights that they are to have.
    suboptions:
      name: {type: str, required: true, description: The name of the role.}
      rights:
        type: list
        elements: dict
        required: true
        description: What the role may do.
        suboptions:
          access: {type: str, choices: [read, readwrite], required: true, description: What may be done.}
          prefix: {type: str, required: true, description: The beginning of the keys.}
  users:
    type: list
    elements: dict
    default: []
    description: Users with all the roles that they are to have.
    suboptions:
      name: {type: str, required: true, description: The name of the user.}
      password: {type: str, required: true, description: The password of a user that is added.}
      roles: {type: list, elements: str, required: true, description: The names of the user's roles.}
  update_passwords: {type: bool, default: false, description: Whether users that are there get their passwords, too.}
  absent: {type: list, elements: str, default: [], description: Users to remove, with the roles of the same names.}
  absent_prefixes: {type: list, elements: str, default: [], description: Prefixes whose keys are removed.}
"""
EXAMPLES = """
- fleet_etcd_users:
    endpoint: https://etcd-1:2379
    ca_file: /etc/etcd/ca.pem
    password: "{{ root_password }}"
    roles: [{name: n1, rights: [{access: readwrite, prefix: /aio-tuned/v1/report/n1/}]}]
    users: [{name: n1, password: "{{ n1_password }}", roles: [n1]}]
"""

import base64  # noqa: E402
import json  # noqa: E402
import ssl  # noqa: E402
import urllib.error  # noqa: E402
import urllib.request  # noqa: E402
from http import HTTPStatus  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    # What is changed, and the call that does it.
    Change = tuple[str, tuple[str, dict[str, object]]]

ROOT = "root"
NAME = {"type": "str", "required": True}
RIGHT = {"access": {"type": "str", "choices": ["read", "readwrite"], "required": True}, "prefix": NAME}
ROLE = {"name": NAME, "rights": {"type": "list", "elements": "dict", "required": True, "options": RIGHT}}
USER = {
    "name": NAME,
    "password": {"type": "str", "required": True, "no_log": True},
    "roles": {"type": "list", "elements": "str", "required": True},
}


class EtcdError(Exception):
    """The answer of etcd to a call that it refused."""


class Etcd:
    """Calls of one member."""

    def __init__(self, endpoint: str, ca_file: str) -> None:
        self._endpoint = endpoint.rstrip("/")
        # Without the proxy of the environment, which would see the passwords.
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)),
        ).open
        self._token = ""

    def call(self, path: str, **body: object) -> dict[str, Any]:
        """Return the answer; raise EtcdError with etcd's message."""
        headers = {"Content-Type": "application/json", **({"Authorization": self._token} if self._token else {})}
        request = urllib.request.Request(  # noqa: S310 - the administrator's own URL
            f"{self._endpoint}/v3/{path}", json.dumps(body).encode(), headers
        )
        try:
            with self._open(request, timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                text = json.loads(text)["error"]
            except (ValueError, KeyError):
                text = text or HTTPStatus(error.code).phrase
            raise EtcdError(f"{path}: {text}") from None

    def log_in(self, password: str) -> bool:
        """Return whether authentication is enabled, and log in as root if it is."""
        try:
            self._token = self.call("auth/authenticate", name=ROOT, password=password)["token"]
        except EtcdError as error:
            if "authentication is not enabled" not in str(error):
                raise
            return False
        return True


def bounds(prefix: str) -> tuple[str, str]:
    """Return the first key of a prefix and the one after its last, in base64."""
    return encode(prefix), encode(prefix[:-1] + chr(ord(prefix[-1]) + 1))


def encode(text: str) -> str:
    """Return the text in base64, as the gateway has keys."""
    return base64.b64encode(text.encode()).decode()


def wanted_rights(role: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Return the rights of a role as etcd has them: (type, first key, key after the last)."""
    return {(right["access"].upper(), *bounds(right["prefix"])) for right in role["rights"]}


def enable(etcd: Etcd, password: str) -> Iterator[Change]:
    """Yield the changes that give etcd its user root and enable authentication."""
    if ROOT not in etcd.call("auth/role/list").get("roles", []):
        yield "role root", ("auth/role/add", {"name": ROOT})
    if ROOT not in etcd.call("auth/user/list").get("users", []):
        yield "user root", ("auth/user/add", {"name": ROOT, "password": password})
        yield "user root", ("auth/user/grant", {"user": ROOT, "role": ROOT})
    yield "authentication", ("auth/enable", {})


def role_changes(etcd: Etcd, roles: Iterable[Mapping[str, Any]]) -> Iterator[Change]:
    """Yield the changes that give each role exactly its rights."""
    there = set(etcd.call("auth/role/list").get("roles", []))
    for role in roles:
        name, held = role["name"], set()
        if name in there:
            found = etcd.call("auth/role/get", role=name).get("perm", [])
            held = {(each.get("permType", "READ"), each["key"], each.get("range_end", "")) for each in found}
        else:
            yield f"role {name}", ("auth/role/add", {"name": name})
        wanted = wanted_rights(role)
        for _, key, end in sorted(held - wanted):
            yield f"role {name}", ("auth/role/revoke", {"role": name, "key": key, "range_end": end})
        for kind, key, end in sorted(wanted - held):
            right = {"permType": kind, "key": key, "range_end": end}
            yield f"role {name}", ("auth/role/grant", {"name": name, "perm": right})


def user_changes(etcd: Etcd, users: Iterable[Mapping[str, Any]], *, update_passwords: bool) -> Iterator[Change]:
    """Yield the changes that give each user exactly its roles, and its password."""
    there = set(etcd.call("auth/user/list").get("users", []))
    for user in users:
        name, held = user["name"], set()
        if name in there:
            held = set(etcd.call("auth/user/get", name=name).get("roles", []))
            if update_passwords:
                yield f"user {name}", ("auth/user/changepw", {"name": name, "password": user["password"]})
        else:
            yield f"user {name}", ("auth/user/add", {"name": name, "password": user["password"]})
        for role in sorted(held - set(user["roles"])):
            yield f"user {name}", ("auth/user/revoke", {"name": name, "role": role})
        for role in sorted(set(user["roles"]) - held):
            yield f"user {name}", ("auth/user/grant", {"user": name, "role": role})


def removals(etcd: Etcd, names: Iterable[str]) -> Iterator[Change]:
    """Yield the changes that remove users and their roles."""
    users = set(etcd.call("auth/user/list").get("users", []))
    roles = set(etcd.call("auth/role/list").get("roles", []))
    for name in names:
        if name in users:
            yield f"user {name}", ("auth/user/delete", {"name": name})
        if name in roles:
            yield f"role {name}", ("auth/role/delete", {"role": name})


def key_removals(etcd: Etcd, prefixes: Iterable[str]) -> Iterator[Change]:
    """Yield the changes that remove keys."""
    for prefix in prefixes:
        key, end = bounds(prefix)
        # The gateway leaves out a count of 0.
        if int(etcd.call("kv/range", key=key, range_end=end, count_only=True).get("count", 0)):
            yield f"keys {prefix}", ("kv/deleterange", {"key": key, "range_end": end})


def main() -> None:
    """Apply the differences, and name what was changed."""
    module = AnsibleModule(
        argument_spec={
            "endpoint": {"type": "str", "required": True},
            "ca_file": {"type": "path", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "roles": {"type": "list", "elements": "dict", "default": [], "options": ROLE},
            "users": {"type": "list", "elements": "dict", "default": [], "options": USER},
            "update_passwords": {"type": "bool", "default": False, "no_log": False},
            "absent": {"type": "list", "elements": "str", "default": []},
            "absent_prefixes": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    etcd = Etcd(given["endpoint"], given["ca_file"])
    changed: dict[str, None] = {}

    def apply(changes: Iterable[Change]) -> None:
        # The names alone: the bodies have passwords. A dict keeps their order, and each once.
        for what, (path, body) in changes:
            changed[what] = None
            if not module.check_mode:
                etcd.call(path, **body)

    try:
        if not etcd.log_in(given["password"]):
            apply(enable(etcd, given["password"]))
            if not module.check_mode:
                etcd.log_in(given["password"])
        apply(role_changes(etcd, given["roles"]))
        apply(user_changes(etcd, given["users"], update_passwords=given["update_passwords"]))
        apply(removals(etcd, given["absent"]))
        if given["absent_prefixes"]:
            # A change of users or roles ends all tokens, for keys if not for users.
            etcd.log_in(given["password"])
            apply(key_removals(etcd, given["absent_prefixes"]))
    except (EtcdError, OSError) as error:
        module.fail_json(msg=f"etcd at {given['endpoint']}: {error}", changes=list(changed))
    told = "".join(f"{what}\n" for what in changed)
    module.exit_json(changed=bool(changed), changes=list(changed), diff={"prepared": told})


if __name__ == "__main__":
    main()
