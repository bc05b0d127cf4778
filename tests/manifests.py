"""The manifests of docs/kubernetes, and their containers' command lines with the defaults of the image."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from aio_tuned.config.load import load_config

if TYPE_CHECKING:
    from aio_tuned.config.load import Config

import containerfile

FOLDER = Path(__file__).parents[1] / "docs/kubernetes"

Manifest = dict[str, Any]


def documents(name: str) -> list[Manifest]:
    """Return all documents of a file."""
    return list(YAML(typ="safe", pure=True).load_all((FOLDER / name).read_text()))


def only(name: str, kind: str) -> Manifest:
    """Return the document of that kind."""
    (found,) = (document for document in documents(name) if document["kind"] == kind)
    return found


def daemon_pod() -> Manifest:
    """Return the spec of the daemon's pods."""
    spec: Manifest = only("aio-tuned.yaml", "DaemonSet")["spec"]["template"]["spec"]
    return spec


def workload_pod(name: str = "workload.yaml") -> Manifest:
    """Return the spec of the pod that reads profiles, or of a pod in that file."""
    spec: Manifest = only(name, "Pod")["spec"]
    return spec


def config_text() -> str:
    """Return the text of the daemon's configuration."""
    text: str = only("aio-tuned.yaml", "ConfigMap")["data"]["aio-tuned.conf"]
    return text


def daemon_config() -> Config:
    """Return the daemon's configuration as parsed."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(config_text())
        file.flush()
        return load_config(Path(file.name), must_exist=True)


def words(container: Manifest) -> list[str]:
    """Return a container's command line: `command` replaces ENTRYPOINT and CMD, `args` CMD alone."""
    image = containerfile.stages()[1]
    command: list[str] = container.get("command") or image.words_of("ENTRYPOINT")
    default = [] if "command" in container else image.words_of("CMD")
    return [*command, *container.get("args", default)]
