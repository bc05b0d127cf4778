"""docs/kubernetes on a node: its image, its manifests' mounts and privileges, an OCI runtime, a drive plugged in."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from aio_tuned.service.monitoring.node_features import PREFIX
from manifests import config_text, daemon_config, daemon_pod, workload_pod
from vm.container_image import disk_image
from vm.daemon_guest import name_of, small
from vm.guest import READ_BYTES_PER_S, WRITE_BYTES_PER_S
from vm.pod import CAPABILITIES, oci, own_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manifests import Manifest
    from vm.daemon_guest import DaemonGuest

KEYS = ("block_size", "queue_depth", "io_parallelism", "overlap_events", "single_submit")
IMAGE = "/run/kube/image"
VOLUMES = "/run/kube/volumes"
CONFIG = f"{VOLUMES}/config"
# The drive that holds the image is none of the node's. The pod may drop the page cache, so its sweep does.
TIER = small().replace('drop_caches = "file"\n', "") + '[[match]]\nserial = "IMAGE"\ntune = false\n'
CGROUP = "/sys/fs/cgroup/kubepods/aio-tuned"


def containers(pod: Manifest) -> list[Manifest]:
    """Return a pod's containers in the order that they start in."""
    return [*pod["initContainers"], *pod["containers"]]


def data_of(pod: Manifest) -> str:
    """Return the host's folder of a pod's data."""
    (path,) = (volume["hostPath"]["path"] for volume in pod["volumes"] if volume["name"] == "data")
    return str(path)


class Node:
    """Runs containers of pods on the guest."""

    def __init__(self, host: DaemonGuest) -> None:
        self.host = host

    def bundle(self, pod: Manifest, container: Manifest) -> str:
        """Where the container's root and configuration lie; each has a writable layer of its own, as in containerd."""
        folder = f"/run/kube/{container['name']}"
        layers = f"lowerdir={IMAGE},upperdir={folder}/upper,workdir={folder}/work"
        self.host.sh(f"mkdir -p {folder}/upper {folder}/work {folder}/rootfs")
        self.host.sh(f"mount -t overlay -o {layers} overlay {folder}/rootfs")
        self.host.write(f"{folder}/config.json", json.dumps(oci(pod, container, VOLUMES, self.host.read)))
        return folder

    def command(self, pod: Manifest, container: Manifest) -> list[str]:
        """What runs a container in the foreground."""
        bundle = self.bundle(pod, container)
        return ["crun", "--cgroup-manager=cgroupfs", "run", "--bundle", bundle, container["name"]]

    def make_folders(self, pod: Manifest) -> None:
        """Make the folders that kubelet makes for a pod's volumes; the host's others must be there."""
        for volume in pod["volumes"]:
            if "hostPath" in volume:
                path, kind = volume["hostPath"]["path"], volume["hostPath"]["type"]
                self.host.sh(["mkdir", "-p", path] if kind == "DirectoryOrCreate" else ["test", "-d", path])
            elif "emptyDir" in volume:
                self.host.sh(["mkdir", "--mode=777", own_folder(volume, VOLUMES)])

    def remove(self, pod: Manifest) -> None:
        """Remove what kubelet removes of a pod that has ended: its containers, and the folders that it alone had."""
        for container in containers(pod):
            folder = f"/run/kube/{container['name']}"
            self.host.sh(f"umount {folder}/rootfs && rm -r {folder}")
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                self.host.sh(["rm", "-r", own_folder(volume, VOLUMES)])

    def run(self, pod: Manifest, container: Manifest) -> str:
        """Run a container to its end; what it printed. It must succeed."""
        return self.host.sh(self.command(pod, container), 120)

    def run_pod(self, pod: Manifest) -> str:
        """Run a pod's init containers and then its container, each to its end; return what the last one printed."""
        self.make_folders(pod)
        *_, printed = (self.run(pod, container) for container in containers(pod))
        self.remove(pod)
        return printed

    def start(self, pod: Manifest, container: Manifest) -> None:
        """Run a container in the background, as a unit whose journal is the container's log."""
        self.host.sh(
            ["systemd-run", "--quiet", "--collect", f"--unit=kube-{container['name']}", *self.command(pod, container)]
        )


@pytest.fixture
def node(host: DaemonGuest) -> Iterator[Node]:
    """A guest whose own daemon is stopped; nothing is known of any drive."""
    host.sh(f"mkdir -p {IMAGE} {CONFIG}")
    path = host.data / "IMAGE.raw"
    # A copy: QEMU writes to what it is given.
    subprocess.run(["cp", "--sparse=always", disk_image(), path], check=True)
    disk = host.hotplug("IMAGE", path.stat().st_size, path=path)
    host.sh(f"mount -o ro {disk.dev} {IMAGE}")
    try:
        yield Node(host)
    finally:
        print(host.run("journalctl -t crun -o cat --no-pager").out)  # shown if the test fails
        host.run("crun delete --force aio-tuned; systemctl stop kube-aio-tuned; umount -l /run/kube/*/rootfs")
        host.run(f"umount -l {IMAGE}; rm -rf /run/kube")


def mask(*names: str) -> int:
    return sum(1 << CAPABILITIES.index(name) for name in names)


def held(host: DaemonGuest, pid: int) -> dict[str, int]:
    """The capability sets of a process."""
    lines = host.sh(f"grep ^Cap /proc/{pid}/status").splitlines()
    return {line.partition(":")[0]: int(line.split()[1], 16) for line in lines}


@pytest.mark.long
def test_a_drive_is_measured_by_the_daemonset_and_read_by_a_pod(node: Node) -> None:
    host = node.host
    pod = daemon_pod()
    (container,) = pod["containers"]
    name = container["name"]
    node.make_folders(pod)
    host.write(f"{CONFIG}/aio-tuned.conf", config_text())
    host.sh(f"mkdir {CONFIG}/aio-tuned.conf.d")
    host.write(f"{CONFIG}/aio-tuned.conf.d/tier.conf", TIER)
    node.start(pod, container)
    probe = container["startupProbe"]["exec"]["command"]
    host.until(
        lambda: host.status() and host.run(["crun", "exec", name, *probe]).status == 0, 60, "the daemon is started"
    )

    drive = host.hotplug("POD1", "512M", read_bps=200e6, write_bps=100e6)
    workload = workload_pod()
    host.mount(drive.dev, data_of(workload))
    host.until_measured(name_of(drive), timeout_s=180)
    profile = host.profile_of(drive)
    assert profile["state"] == "measured"
    evidence = profile["evidence"]
    assert evidence["target"] == "scratch file on ext4"
    assert evidence["caches_dropped"] == 1, "once a sweep"
    assert evidence["buffer"].endswith("locked")

    # What nfd-worker finds on the node.
    features = daemon_config().node_features
    assert features is not None
    host.until(lambda: f"{PREFIX}measured-devices=1\n" in host.read(str(features)).decode(), 30, str(features))
    labels = host.read(str(features)).decode()
    assert f"{PREFIX}read-best-mb-per-s=1" in labels or f"{PREFIX}read-best-mb-per-s=2" in labels

    # Of the powers that privileged gives, those that the manifest names are left.
    pid = int(host.sh(f"cat {CGROUP}/cgroup.procs").split()[0])
    assert set(held(host, pid).values()) == {0, mask("CAP_DAC_OVERRIDE", "CAP_IPC_LOCK")}

    got = json.loads(node.run_pod(workload))
    assert got["source"]["device"] == name_of(drive)
    assert {key: got[key] for key in KEYS} == {key: profile["combined"][key] for key in KEYS}


def kvikio(text: str) -> dict[str, str]:
    """Return KvikIO's variables in what `env` prints."""
    lines = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in lines if name.startswith("KVIKIO_")}


@pytest.mark.long
def test_a_server_gets_its_drives_settings_as_variables(node: Node) -> None:
    host = node.host
    files = ("workload-shared-file.yaml", "workload-env-file.yaml")
    pods = {file: workload_pod(file) for file in files}
    (data,) = {data_of(pod) for pod in pods.values()}
    drive = host.hotplug("POD2", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    host.mount(drive.dev, data)
    # Without curves the size of KvikIO's tasks is block_size.
    measured = host.tune(data, config="[curves]\nenabled = false\n").profile["combined"]
    printed = {file: kvikio(node.run_pod(pod)) for file, pod in pods.items()}
    expected = kvikio(host.sh(f"aio-tuned export kvikio {data}"))
    assert expected["KVIKIO_TASK_SIZE"] == str(measured["block_size"])
    assert printed == dict.fromkeys(files, expected)
