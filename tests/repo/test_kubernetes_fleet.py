"""The fleet of docs/kubernetes: by Kubernetes' own schemas, and by what the programs and the store need of it.

The rights and the admission policies are used by the stand-in for an API server, on which tests/fleet runs the store.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned import __version__
from aio_tuned.cli.main import parser
from aio_tuned.config.load import Config, load_config
from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.fleet import drive_class_object, drive_report_object, kubernetes_store, node_keys, service_account
from aio_tuned.fleet.class_status import MAX_STATUS_BYTES
from aio_tuned.fleet.consensus import MAX_RESULT_BYTES
from aio_tuned.fleet.plan import MAX_PLAN_BYTES
from aio_tuned.fleet.report import BASES, MAX_REPORT_BYTES
from aio_tuned.fleet.signature import ENVELOPE_BYTES, SigningKey
from fleet.kube_manifests import FLEET, KINDS, Kinds, Rights, Target, User
from manifests import config_text, daemon_pod, documents, only
from unit.support.builders import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from manifests import Manifest

# Tokens name the node, and admission policies are stable, from the first of these on.
VERSIONS = ("1.30", "1.31", "1.37")
DEFAULTS = Config()
PROGRAMS = ("agent", "coordinator")
HOW_TO = (PROJECT / "docs/how-to/kubernetes.md").read_text(encoding="utf-8")


def pod_of(program: str) -> Manifest:
    found: Manifest = only(FLEET, {"agent": "DaemonSet", "coordinator": "Deployment"}[program])["spec"]["template"][
        "spec"
    ]
    return found


def container_of(program: str) -> Manifest:
    (container,) = pod_of(program)["containers"]
    found: Manifest = container
    return found


def schema(plural: str, *way: str) -> Manifest:
    found: Manifest = Kinds().versions[plural]["schema"]["openAPIV3Schema"]
    for key in way:
        found = found["properties"][key] if key != "*" else found["additionalProperties"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", [KINDS, FLEET])
def test_kubernetes_takes_them(file: str, version: str) -> None:
    for document in documents(file):
        kubernetes_validate.validate(document, version, strict=True)


# --- kinds ------------------------------------------------------------------------------------------------


def test_the_kinds_are_those_of_the_store() -> None:
    names = {each["spec"]["names"]["plural"]: each["spec"]["names"]["kind"] for each in documents(KINDS)}
    assert names == {
        drive_report_object.PLURAL: drive_report_object.KIND,
        drive_class_object.PLURAL: drive_class_object.KIND,
        kubernetes_store.PLAN_PLURAL: kubernetes_store.PLAN_KIND,
    }
    for each in documents(KINDS):
        group, version = each["spec"]["group"], each["spec"]["versions"][0]["name"]
        assert f"{group}/{version}" == kubernetes_store.API
        assert each["metadata"]["name"] == f"{each['spec']['names']['plural']}.{group}"


def test_the_limits_are_those_of_the_documents() -> None:
    texts = schema("drivereports", "spec", "reports", "*")["properties"]
    assert {basis: each["maxLength"] for basis, each in texts.items()} == dict.fromkeys(
        BASES, MAX_REPORT_BYTES + ENVELOPE_BYTES
    )
    assert schema("driveclassplans", "spec", "plan")["maxLength"] == MAX_PLAN_BYTES + ENVELOPE_BYTES
    assert schema("driveclassplans", "spec", "result")["maxLength"] == MAX_RESULT_BYTES + ENVELOPE_BYTES
    assert schema("driveclasses", "status", "report")["maxLength"] == MAX_STATUS_BYTES + ENVELOPE_BYTES


def test_a_nodes_object_is_below_256_kib() -> None:
    drives = schema("drivereports", "spec", "reports")["maxProperties"]
    assert 224 << 10 < drives * (len(BASES) * (MAX_REPORT_BYTES + ENVELOPE_BYTES) + 200) < 256 << 10


def test_a_pin_has_the_parameters_of_a_setting() -> None:
    found = schema("driveclasses", "spec", "pin", "read")
    for key in SETTING_KEYS:
        first, *others = key.split("_")
        parameter = found["properties"][first + "".join(map(str.title, others))]
        for bound in ("minimum", "maximum"):
            if bound in parameter:
                SETTING_KEYS[key](parameter[bound])
                with pytest.raises(ValueError, match="is not"):
                    SETTING_KEYS[key](
                        parameter[bound] + (parameter.get("multipleOf", 1) if bound == "maximum" else -512)
                    )
    assert set(found["required"]) == set(found["properties"])
    assert schema("driveclasses", "spec", "pin", "write") == schema("driveclasses", "spec", "pin", "combined") == found


# --- rights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "verb", "resource"),
    [
        ("agent", "get", "drivereports"),
        ("agent", "list", "drivereports"),
        ("agent", "watch", "drivereports"),
        ("agent", "delete", "drivereports"),
        ("agent", "patch", "driveclassplans"),
        ("agent", "get", "driveclasses"),
        ("agent", "list", "driveclasses"),
        ("agent", "patch", "driveclasses/status"),
        ("coordinator", "patch", "drivereports"),
        ("coordinator", "patch", "driveclasses"),
        ("coordinator", "update", "driveclasses"),
        ("operator", "patch", "driveclasses/status"),
        ("operator", "patch", "driveclassplans"),
        ("operator", "patch", "drivereports"),
    ],
)
def test_nobody_may_do_more_than_the_task(account: str, verb: str, resource: str) -> None:
    user = User(f"aio-tuned-fleet-{account}", "n1")
    assert not Rights().allow(user, verb, Target("aio-tuned.io", resource, "", "n1"))


def test_no_role_has_a_wildcard() -> None:
    rules = [rule for each in documents(FLEET) for rule in each.get("rules", [])]
    assert rules
    assert not [rule for rule in rules if "*" in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]]


def test_every_policy_is_bound_and_denies() -> None:
    policies = [each for each in documents(FLEET) if each["kind"] == "ValidatingAdmissionPolicy"]
    bindings = [each for each in documents(FLEET) if each["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert {each["metadata"]["name"] for each in policies} == {each["spec"]["policyName"] for each in bindings}
    assert len(policies) == len(bindings) == 2
    assert all(each["spec"]["validationActions"] == ["Deny"] for each in bindings)
    assert all(each["spec"]["failurePolicy"] == "Fail" for each in policies)


def test_the_daemons_pod_has_no_access_to_the_api_server() -> None:
    assert daemon_pod()["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in daemon_pod()


# --- pods -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_pods_run_our_programs_without_privileges(program: str) -> None:
    pod, container = pod_of(program), container_of(program)
    line = container["args"]
    parsed = parser().parse_args(line)
    assert (parsed.command, parsed.fleet_command) == ("fleet", program)
    assert pod["serviceAccountName"] == f"aio-tuned-fleet-{program}"
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] >= 1000
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not security["allowPrivilegeEscalation"]
    assert security["readOnlyRootFilesystem"]
    assert "privileged" not in security
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_image_is_that_of_this_version(program: str) -> None:
    pod = pod_of(program)
    images = {each["image"] for each in [*pod["containers"], *pod.get("initContainers", [])]}
    assert images == {f"registry.example/aio-tuned:{__version__}"}


def test_the_agent_shares_the_spool_with_the_daemon_and_no_more() -> None:
    spool = str(DEFAULTS.state / "fleet")
    pod = pod_of("agent")
    (volume,) = (each for each in pod["volumes"] if "hostPath" in each)
    assert volume["hostPath"]["path"] == spool
    (mount,) = (each for each in container_of("agent")["volumeMounts"] if each["name"] == volume["name"])
    assert mount["mountPath"] == spool
    (state,) = (each for each in daemon_pod()["volumes"] if each["name"] == "state")
    assert state["hostPath"]["path"] == str(DEFAULTS.state)
    (folder,) = pod["initContainers"]
    assert folder["command"][-1] == f"{spool}/in"
    owner = folder["command"][folder["command"].index("-o") + 1]
    assert int(owner) == pod["securityContext"]["runAsUser"]
    assert folder["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN", "FOWNER"]}


def test_daemon_and_agent_have_one_name_for_the_node() -> None:
    (daemon,) = daemon_pod()["containers"]
    expected = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    assert expected in daemon["env"]
    assert expected in container_of("agent")["env"]


def test_the_namespace_is_the_one_in_which_the_store_has_its_leases() -> None:
    assert only("aio-tuned.yaml", "Namespace")["metadata"]["name"] == service_account.NAMESPACE
    for each in documents(FLEET):
        assert each["metadata"].get("namespace", service_account.NAMESPACE) == service_account.NAMESPACE


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_the_pods_mount_is_made_by_the_how_to(program: str) -> None:
    for volume in pod_of(program)["volumes"]:
        if "secret" in volume:
            assert f"create secret generic {volume['secret']['secretName']} --from-file=signing-key" in HOW_TO
        elif volume.get("configMap", {}).get("name") == "aio-tuned-fleet":
            assert "create configmap aio-tuned-fleet --from-file=node-keys" in HOW_TO
    (credentials,) = (each["value"] for each in container_of(program)["env"] if each["name"] == "CREDENTIALS_DIRECTORY")
    assert credentials in {mount["mountPath"] for mount in container_of(program)["volumeMounts"]}


def test_the_lines_of_the_configuration_make_a_fleet(tmp_path: Path) -> None:
    key = SigningKey(Ed25519PrivateKey.generate()).public
    text = re.sub(r"(?m)^#(enabled|trusted_keys|node_keys) ", r"\1 ", config_text())
    file = tmp_path / "aio-tuned.conf"
    file.write_text(text.replace("PUBLIC-KEY-IN-BASE64", key))
    found: Any = load_config(file, must_exist=True)
    assert (found.fleet, found.fleet_store, found.fleet_trusted_keys) == (True, "kubernetes", (key,))
    mounts = {mount["mountPath"] for mount in container_of("coordinator")["volumeMounts"]}
    assert str(found.fleet_node_keys.parent) in mounts
    assert node_keys.parse(f"* {key}\n", "node-keys").nodes == (key,)
