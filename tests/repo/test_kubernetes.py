"""docs/kubernetes: by Kubernetes' own schemas, and by what the manifests' words mean to us."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest

import kubelet
from aio_tuned import __version__, consumers
from aio_tuned.cli.main import parser
from aio_tuned.config.load import Config
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.consumers.rendering import render
from aio_tuned.service.monitoring import node_features
from aio_tuned.service.monitoring.node_features import PREFIX
from containerfile import parse, stages
from manifests import daemon_config, daemon_pod, documents, only, words, workload_pod
from unit.support.builders import PROJECT, profile
from unit.support.consumer_settings import drive

if TYPE_CHECKING:
    from manifests import Manifest

# The oldest and the newest that the package carries now, and one between.
VERSIONS = ("1.25", "1.31", "1.37")
# The first whose kubelet takes variables from a file without a feature gate.
ENV_FILES = "1.35"
SHARED_FILE, ENV_FILE = "workload-shared-file.yaml", "workload-env-file.yaml"
NFD_FOLDER = "/etc/kubernetes/node-feature-discovery/features.d"
DEFAULTS = Config()


def daemon_container() -> Manifest:
    (container,) = daemon_pod()["containers"]
    found: Manifest = container
    return found


def paths(pod: Manifest, container: Manifest) -> dict[str, str]:
    """Mount path -> the host's path, of a container's volumes that are the host's."""
    on_host = {volume["name"]: volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    return {
        mount["mountPath"]: on_host[mount["name"]] for mount in container["volumeMounts"] if mount["name"] in on_host
    }


def of_cli(line: list[str]) -> Any:  # noqa: ANN401 - argparse's namespace
    """What the command line parser makes of a container's words, which begin with our program."""
    assert Path(line[0]).name == "aio-tuned"
    return parser().parse_args(line[1:])


# --- by schema ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", ["aio-tuned.yaml", "workload.yaml", SHARED_FILE])
def test_kubernetes_takes_them(file: str, version: str) -> None:
    for document in documents(file):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_a_word_that_is_not_theirs() -> None:
    wrong = only("workload.yaml", "Pod")
    wrong["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("version", [ENV_FILES, VERSIONS[-1]])
def test_kubernetes_takes_variables_from_a_file(version: str) -> None:
    for document in documents(ENV_FILE):
        kubernetes_validate.validate(document, version, strict=True)


def test_an_earlier_kubernetes_refuses_variables_from_a_file() -> None:
    with pytest.raises(kubernetes_validate.ValidationError, match="fileKeyRef"):
        kubernetes_validate.validate(only(ENV_FILE, "Pod"), "1.33", strict=True)


# --- the daemon --------------------------------------------------------------------------------------------


def test_the_daemons_command_line_is_one_of_ours() -> None:
    line = words(daemon_container())
    parsed = of_cli(line[line.index("--") + 1 :])
    assert parsed.command == "daemon"
    (volume,) = (volume for volume in daemon_pod()["volumes"] if "configMap" in volume)
    (mount,) = (mount for mount in daemon_container()["volumeMounts"] if mount["name"] == volume["name"])
    (name,) = only("aio-tuned.yaml", "ConfigMap")["data"]
    assert parsed.config == Path(mount["mountPath"]) / name
    assert volume["configMap"]["name"] == only("aio-tuned.yaml", "ConfigMap")["metadata"]["name"]


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe"])
def test_the_probes_are_commands_of_ours(probe: str) -> None:
    assert of_cli(daemon_container()[probe]["exec"]["command"]).command == "status"


def test_the_configuration_is_one_of_ours() -> None:
    found = daemon_config()
    # A pod that reads knows no other folder.
    assert (found.profiles, found.state, found.runtime) == (DEFAULTS.profiles, DEFAULTS.state, DEFAULTS.runtime)
    assert found.node_features is not None
    assert str(found.node_features.parent) == NFD_FOLDER
    assert not found.node_features.name.startswith(".")  # nfd-worker passes over such a file


def test_the_folders_are_the_products_defaults_on_the_host_as_in_the_pod() -> None:
    found = paths(daemon_pod(), daemon_container())
    for folder in (DEFAULTS.profiles, DEFAULTS.state, DEFAULTS.runtime):
        assert found[str(folder)] == str(folder)
    assert set(found) - {str(folder) for folder in (DEFAULTS.profiles, DEFAULTS.state, DEFAULTS.runtime)} == {
        *("/dev", "/run/udev", "/mnt", NFD_FOLDER)
    }
    # What status and journal say are paths of the host.
    assert all(mounted == on_host for mounted, on_host in found.items())


def test_mounts_of_the_host_come_through() -> None:
    (mount,) = (mount for mount in daemon_container()["volumeMounts"] if mount["name"] == "drives")
    assert mount["mountPropagation"] == "HostToContainer"
    assert not mount.get("readOnly")


def test_only_one_daemon_runs_on_a_node() -> None:
    update = only("aio-tuned.yaml", "DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"]
    assert (update["maxSurge"], update["maxUnavailable"]) == (0, 1)


def test_the_capabilities_are_the_units_and_that_to_lock_the_buffer() -> None:
    unit = (PROJECT / "systemd/aio-tuned.service").read_text()
    (of_unit,) = re.findall(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE)
    assert re.search(r"^LimitMEMLOCK=infinity$", unit, re.MULTILINE)  # which a pod cannot have
    kept = {name.removeprefix("CAP_").lower() for name in of_unit.split()} | {"ipc_lock"}
    (option,) = (word for word in words(daemon_container()) if word.startswith("--bounding-set="))
    assert option.removeprefix("--bounding-set=").split(",") == ["-all", *(f"+{name}" for name in sorted(kept))]


def test_the_daemon_has_as_long_to_end_as_under_systemd() -> None:
    unit = (PROJECT / "systemd/aio-tuned.service").read_text()
    assert f"TimeoutStopSec={daemon_pod()['terminationGracePeriodSeconds']}\n" in unit


# --- the workload ------------------------------------------------------------------------------------------


def test_the_workload_waits_for_and_gets_what_is_below_its_data() -> None:
    pod = workload_pod()
    (wait,), (server,) = pod["initContainers"], pod["containers"]
    for container, command in ((wait, "wait"), (server, "get")):
        parsed = of_cli(words(container))
        assert parsed.command == command
        found = paths(pod, container)
        assert str(parsed.path) in found
        assert found[str(DEFAULTS.profiles)] == str(DEFAULTS.profiles)
        read_only = {mount["name"] for mount in container["volumeMounts"] if mount.get("readOnly")}
        assert read_only == {"profiles"}


@pytest.mark.parametrize("file", ["workload.yaml", SHARED_FILE, ENV_FILE])
def test_the_workloads_drive_is_below_the_daemons_folder_of_drives(file: str) -> None:
    pod = workload_pod(file)
    (data,) = (volume["hostPath"]["path"] for volume in pod["volumes"] if volume["name"] == "data")
    (drives,) = (volume["hostPath"]["path"] for volume in daemon_pod()["volumes"] if volume["name"] == "drives")
    assert Path(data).is_relative_to(drives)


def test_every_label_of_ours_that_is_asked_for_is_one_that_we_give() -> None:
    from datetime import datetime, timezone

    given = {
        line.partition("=")[0]
        for line in node_features.render([profile()], datetime.now(timezone.utc), 60).splitlines()
    }
    (term,) = workload_pod()["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    asked = {expression["key"] for expression in term["matchExpressions"]}
    for rule in only("nfd.yaml", "NodeFeatureRule")["spec"]["rules"]:
        for match in rule["matchFeatures"]:
            if match["feature"] == "local.label":
                asked |= set(match["matchExpressions"])
    assert len(asked) == 2
    assert asked <= given
    assert all(key.startswith(PREFIX) for key in asked)


# --- variables by a file of an init container ----------------------------------------------------------------


def script(container: Manifest) -> list[list[str]]:
    """The words of each line of a container's shell script, which ends at the first command that fails."""
    *shell, text = words(container)
    assert shell == ["sh", "-ec"]
    return [shlex.split(line) for line in text.splitlines()]


@pytest.mark.parametrize("file", [SHARED_FILE, ENV_FILE])
def test_the_init_container_waits_and_writes_what_the_server_reads(file: str) -> None:
    pod = workload_pod(file)
    (settings,) = pod["initContainers"]
    wait, (*export, arrow, target) = script(settings)
    mounts = {mount["name"]: mount["mountPath"] for mount in settings["volumeMounts"]}
    assert of_cli(wait).command == "wait"
    parsed = of_cli(export)
    assert (parsed.command, arrow) == ("export", ">")
    assert str(of_cli(wait).path) == str(parsed.path) == mounts["data"]
    assert mounts["profiles"] == str(DEFAULTS.profiles)
    assert Path(target).is_relative_to(mounts["settings"])
    (volume,) = (volume for volume in pod["volumes"] if volume["name"] == "settings")
    assert "emptyDir" in volume  # kubelet takes variables from no other kind
    assert parsed.quoted == (file == ENV_FILE)


def test_every_variable_of_the_consumer_is_taken_from_the_file_by_kubelet() -> None:
    pod = workload_pod(ENV_FILE)
    (settings,), (server,) = pod["initContainers"], pod["containers"]
    _, (*export, _, target) = script(settings)
    parsed = of_cli(export)
    made = consumers.load(parsed.consumer).export(drive(), str(parsed.path), ExportOptions())
    text = render(made, quoted=parsed.quoted)
    written = kubelet.variables(text)
    assert written == {str(name): str(value) for (name,), value in made.values.items()}
    taken = {variable["name"]: variable["valueFrom"]["fileKeyRef"] for variable in server["env"]}
    assert taken == {name: {"volumeName": "settings", "path": Path(target).name, "key": name} for name in written}
    # The kubelet reads the volume; the server does not have it.
    assert "settings" not in {mount["name"] for mount in server["volumeMounts"]}
    with pytest.raises(ValueError, match="would not take"):
        kubelet.variables(render(made))  # why it is quoted


def test_the_shared_file_is_sourced_by_the_server(tmp_path: Path) -> None:
    pod = workload_pod(SHARED_FILE)
    (settings,), (server,) = pod["initContainers"], pod["containers"]
    _, (*export, _, target) = script(settings)
    parsed = of_cli(export)
    made = consumers.load(parsed.consumer).export(drive(), str(parsed.path), ExportOptions())
    written = tmp_path / "file.env"
    written.write_text(render(made, quoted=parsed.quoted))
    *shell, text = words(server)
    assert target in text
    said = subprocess.check_output(["env", "-i", *shell, text.replace(target, str(written))], text=True)
    assert {f"{name}={value}" for (name,), value in made.values.items()} <= set(said.splitlines())


# --- the image ---------------------------------------------------------------------------------------------


def test_everything_that_the_package_is_built_from_is_copied() -> None:
    build, _ = stages()
    copied = {Path(word) for text in build.all_of("COPY") for word in text.split()[:-1]}
    script = (PROJECT / ".deb/build").read_text()
    (needed,) = re.findall(r"^tar -c --exclude=__pycache__ (.*) \| tar -x", script, re.MULTILINE)
    assert copied == {Path(name) for name in [*needed.split(), "CHANGELOG.md", ".deb"]}
    assert all((PROJECT / name).exists() for name in copied)
    assert ".deb/build /package" in build.all_of("RUN")[0]


def test_the_image_starts_what_the_package_installs() -> None:
    _, image = stages()
    (program,) = image.words_of("ENTRYPOINT")
    name, folder = next(
        line.split() for line in (PROJECT / ".deb/aio-tuned.install").read_text().splitlines() if "bin" in line
    )
    assert program == f"/{folder}/{Path(name).name}"
    assert of_cli([program, *image.words_of("CMD")]).command == "daemon"


def test_the_manifests_name_the_image_of_this_version() -> None:
    pods = (workload_pod(), workload_pod(SHARED_FILE), workload_pod(ENV_FILE))
    everything = [each for pod in pods for each in (*pod["containers"], *pod["initContainers"])]
    everything += daemon_pod()["containers"]
    assert {container["image"] for container in everything} == {f"registry.example/aio-tuned:{__version__}"}


def test_a_containerfiles_words_that_are_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match="ADD"):
        parse("FROM x\nADD a b\n")
