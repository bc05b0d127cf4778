"""docs/kubernetes: by Kubernetes' own schemas, and by what the manifests' words mean to us."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest

from aio_tuned import __version__
from aio_tuned.cli.main import parser
from aio_tuned.config.load import Config
from aio_tuned.service.monitoring.node_features import PREFIX, render
from containerfile import parse, stages
from manifests import daemon_config, daemon_pod, documents, only, words, workload_pod
from unit.support.builders import PROJECT, profile

if TYPE_CHECKING:
    from manifests import Manifest

# The oldest and the newest that the package carries now, and one between.
VERSIONS = ("1.25", "1.31", "1.37")
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
@pytest.mark.parametrize("file", ["aio-tuned.yaml", "workload.yaml"])
def test_kubernetes_takes_them(file: str, version: str) -> None:
    for document in documents(file):
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_a_word_that_is_not_theirs() -> None:
    wrong = only("workload.yaml", "Pod")
    wrong["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


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


def test_the_workloads_drive_is_below_the_daemons_folder_of_drives() -> None:
    pod = workload_pod()
    (data,) = (volume["hostPath"]["path"] for volume in pod["volumes"] if volume["name"] == "data")
    (drives,) = (volume["hostPath"]["path"] for volume in daemon_pod()["volumes"] if volume["name"] == "drives")
    assert Path(data).is_relative_to(drives)


def test_every_label_of_ours_that_is_asked_for_is_one_that_we_give() -> None:
    from datetime import datetime, timezone

    given = {line.partition("=")[0] for line in render([profile()], datetime.now(timezone.utc), 60).splitlines()}
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
    everything = [*daemon_pod()["containers"], *workload_pod()["containers"], *workload_pod()["initContainers"]]
    assert {container["image"] for container in everything} == {f"registry.example/aio-tuned:{__version__}"}


def test_a_containerfiles_words_that_are_not_known_are_refused() -> None:
    with pytest.raises(ValueError, match="ADD"):
        parse("FROM x\nADD a b\n")
