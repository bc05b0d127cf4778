"""What docs/kubernetes gives an API server: kinds with their schemas, rights of accounts, and admission policies."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import celpy
import jsonschema
from celpy.adapter import json_to_cel
from celpy.celtypes import MapType, StringType

from manifests import documents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from manifests import Manifest

KINDS, FLEET = "fleet-kinds.yaml", "fleet.yaml"
NAMESPACE = "aio-tuned"
NODE_CLAIM = "authentication.kubernetes.io/node-name"


class User(NamedTuple):
    """What the API server knows from a token: account and node of its pod, or the administrator without both."""

    account: str = ""
    node: str = ""

    @property
    def info(self) -> dict[str, Any]:
        name = f"system:serviceaccount:{NAMESPACE}:{self.account}" if self.account else "kubernetes-admin"
        return {"username": name, **({"extra": {NODE_CLAIM: [self.node]}} if self.node else {})}


class Target(NamedTuple):
    """What a request is about."""

    group: str
    resource: str
    namespace: str
    name: str

    @property
    def plural(self) -> str:
        """The resource without "/status"."""
        return self.resource.partition("/")[0]


class Refusal(NamedTuple):
    """Why admission denies a request."""

    message: str
    reason: str


class Kinds:
    """The kinds of our own, by the resource."""

    @cached_property
    def versions(self) -> dict[str, Manifest]:
        found = {}
        for each in documents(KINDS):
            (version,) = each["spec"]["versions"]
            found[each["spec"]["names"]["plural"]] = version
        return found

    def has_status(self, plural: str) -> bool:
        return "status" in self.versions.get(plural, {}).get("subresources", {})

    def fault(self, plural: str, document: Mapping[str, Any]) -> str:
        """Return what is wrong with an object, "" if nothing is. The API server would drop a field that is unknown."""
        found = jsonschema.Draft7Validator(_strict(self.versions[plural]["schema"]["openAPIV3Schema"]))
        return "; ".join(f"{each.json_path}: {each.message[:200]}" for each in found.iter_errors(document))


def _strict(schema: Manifest) -> Manifest:
    """Return the schema without room for fields that it does not name, metadata apart."""
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {
            key: each if key == "metadata" else _strict(each) for key, each in schema["properties"].items()
        }
        made.setdefault("additionalProperties", False)
    elif isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _strict(schema["additionalProperties"])
    if "items" in schema:
        made["items"] = _strict(schema["items"])
    return made


class Rights:
    """Roles and their bindings, as RBAC reads them."""

    @cached_property
    def _rules(self) -> list[tuple[str, str, Manifest]]:
        """The account, the namespace or "", and the rule."""
        everything = documents(FLEET)
        roles = {(each["kind"], each["metadata"]["name"]): each["rules"] for each in everything if "rules" in each}
        return [
            (subject["name"], binding["metadata"].get("namespace", ""), rule)
            for binding in everything
            if "roleRef" in binding
            for subject in binding["subjects"]
            for rule in roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        ] + [  # which the how-to binds
            (name, "" if kind == "ClusterRole" else NAMESPACE, rule)
            for (kind, name), rules in roles.items()
            if name == "aio-tuned-fleet-operator"
            for rule in rules
        ]

    def allow(self, user: User, verb: str, target: Target) -> bool:
        return not user.account or any(
            account == user.account
            and namespace in ("", target.namespace)
            and target.group in rule["apiGroups"]
            and target.resource in rule["resources"]
            and verb in rule["verbs"]
            and (not rule.get("resourceNames") or target.name in rule["resourceNames"])
            for account, namespace, rule in self._rules
        )


class Policies:
    """The admission policies that are bound, evaluated by an interpreter of CEL."""

    @cached_property
    def _policies(self) -> list[Manifest]:
        bound = {
            each["spec"]["policyName"]
            for each in documents(FLEET)
            if each["kind"] == "ValidatingAdmissionPolicyBinding" and each["spec"]["validationActions"] == ["Deny"]
        }
        return [
            each["spec"]
            for each in documents(FLEET)
            if each["kind"] == "ValidatingAdmissionPolicy" and each["metadata"]["name"] in bound
        ]

    def refuse(self, user: User, target: Target, new: dict[str, Any], old: dict[str, Any] | None) -> Refusal | None:
        operation = "UPDATE" if old else "CREATE"
        request = {"operation": operation, "userInfo": user.info, "name": target.name}
        context = {"object": json_to_cel(new), "oldObject": json_to_cel(old), "request": json_to_cel(request)}
        for spec in self._policies:
            rules = spec["matchConstraints"]["resourceRules"]
            if not any(
                target.group in rule["apiGroups"]
                and target.resource in rule["resources"]
                and operation in rule["operations"]
                for rule in rules
            ):
                continue
            if not all(_evaluate(each["expression"], context) for each in spec["matchConditions"]):
                continue
            variables = {StringType(each["name"]): _evaluate(each["expression"], context) for each in spec["variables"]}
            known = {**context, "variables": MapType(variables)}
            for each in spec["validations"]:
                if not _evaluate(each["expression"], known):
                    message = each.get("message") or _evaluate(each["messageExpression"], known)
                    return Refusal(str(message), each["reason"])
        return None


@lru_cache
def _program(expression: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression))


def _evaluate(expression: str, context: Mapping[str, Any]) -> Any:  # noqa: ANN401 - of CEL
    return _program(expression).evaluate(dict(context))
