"""A pod's manifest -> what kubelet and containerd make of it for an OCI runtime, by the runtime's own config.json.

Not there: containerd's seccomp profile, the pause process, and the service account.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import kubelet
from manifests import words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from manifests import Manifest

# A key that is in none of these would silently not be tested.
_POD_KEYS = {"containers", "initContainers", "hostNetwork", "securityContext", "volumes"} | {
    # Without a meaning for one container on one node.
    *("affinity", "automountServiceAccountToken", "enableServiceLinks", "nodeSelector", "restartPolicy"),
    *("shareProcessNamespace", "terminationGracePeriodSeconds", "tolerations"),
}
_CONTAINER_KEYS = {"args", "command", "env", "name", "resources", "securityContext", "volumeMounts"} | {
    *("image", "imagePullPolicy", "livenessProbe", "startupProbe", "terminationMessagePath"),
}
_SECURITY_KEYS = {"privileged", "readOnlyRootFilesystem", "runAsUser", "runAsGroup", "allowPrivilegeEscalation"} | {
    *("capabilities", "runAsNonRoot", "seccompProfile"),
}
_MOUNT_KEYS = {"mountPath", "mountPropagation", "name", "readOnly"}
_FILE_KEYS = {"key", "path", "volumeName"}
# Kubelet evicts a pod whose folder is larger; the folder itself has no limit.
_EMPTY_KEYS = {"sizeLimit"}
# mountPropagation, as mount(2) knows it.
_PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave"}
# By their numbers, of Linux 6.1.
_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE"
    " NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN"
    " SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE"
    " MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITIES = tuple(f"CAP_{name}" for name in _NAMES.split(" "))
# What containerd hides from, and makes read-only for, a container that is not privileged.
_MASKED = ("/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list", "/sys/firmware")
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
# What a container may lock without CAP_IPC_LOCK: the kernel's default before 5.16, less than any later one.
_MEMLOCK_BYTES = 64 << 10
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def _checked(table: Manifest, known: set[str]) -> Manifest:
    if unknown := set(table) - known:
        raise ValueError(f"the tests do not know what a runtime makes of {sorted(unknown)}")
    return table


def _bytes(quantity: str) -> int:
    found = re.fullmatch(r"(\d+)(Ki|Mi|Gi)", quantity)
    assert found, quantity
    return int(found[1]) * _UNITS[found[2]]


def _own_mounts(*, privileged: bool) -> list[Manifest]:
    access = "rw" if privileged else "ro"
    return [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", access]},
    ]


def own_folder(volume: Manifest, folder: str) -> str:
    """Return where kubelet puts a volume that is no folder of the host's."""
    _checked(volume.get("emptyDir", {}), _EMPTY_KEYS)
    return f"{folder}/{volume['name']}"


def _sources(pod: Manifest, folder: str) -> dict[str, str]:
    """Return the folder of each volume on the host."""
    return {
        volume["name"]: volume["hostPath"]["path"] if "hostPath" in volume else own_folder(volume, folder)
        for volume in pod["volumes"]
    }


def _volume_mounts(container: Manifest, sources: Mapping[str, str]) -> list[Manifest]:
    mounts = []
    for wanted in container["volumeMounts"]:
        _checked(wanted, _MOUNT_KEYS)
        propagation = _PROPAGATION[wanted.get("mountPropagation", "None")]
        access = "ro" if wanted.get("readOnly") else "rw"
        mount = {"destination": wanted["mountPath"], "type": "bind", "source": sources[wanted["name"]]}
        mounts.append({**mount, "options": ["rbind", propagation, access]})
    return mounts


def _variables(container: Manifest, sources: Mapping[str, str], read: Callable[[str], bytes]) -> list[str]:
    """Return the container's variables, each of which must be in its file."""
    found = []
    for variable in container.get("env", ()):
        source = _checked(variable, {"name", "valueFrom"})["valueFrom"]
        of_file = _checked(_checked(source, {"fileKeyRef"})["fileKeyRef"], _FILE_KEYS)
        text = read(f"{sources[of_file['volumeName']]}/{of_file['path']}").decode()
        found.append(f"{variable['name']}={kubelet.variables(text)[of_file['key']]}")
    return found


def oci(pod: Manifest, container: Manifest, folder: str, read: Callable[[str], bytes]) -> Manifest:
    """Return the config.json of a container that is about to start.

    Kubelet's own folder on the host holds the volumes that are no hostPath, and `read` reads a file of the host.
    """
    _checked(pod, _POD_KEYS)
    _checked(container, _CONTAINER_KEYS)
    security = _checked({**pod.get("securityContext", {}), **container["securityContext"]}, _SECURITY_KEYS)
    privileged: bool = security.get("privileged", False)
    if not privileged:
        assert security["capabilities"] == {"drop": ["ALL"]}
    held = list(CAPABILITIES) if privileged else []
    sources = _sources(pod, folder)
    volumes = _volume_mounts(container, sources)
    taken = {mount["destination"] for mount in volumes}
    mounts = [mount for mount in _own_mounts(privileged=privileged) if mount["destination"] not in taken] + volumes
    isolated = ["mount", "pid", "ipc", "uts", *([] if pod.get("hostNetwork") else ["network"])]
    memory = container.get("resources", {}).get("limits", {}).get("memory")
    process: dict[str, Any] = {
        "terminal": False,
        "user": {"uid": security["runAsUser"], "gid": security.get("runAsGroup", 0)},
        "args": words(container),
        "env": [_PATH, *_variables(container, sources, read)],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), held),
        "noNewPrivileges": not security.get("allowPrivilegeEscalation", True),
        "rlimits": [{"type": "RLIMIT_MEMLOCK", "soft": _MEMLOCK_BYTES, "hard": _MEMLOCK_BYTES}],
    }
    slave = any("rslave" in mount.get("options", ()) for mount in mounts)
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in isolated],
        "rootfsPropagation": "rslave" if slave else "rprivate",
        "cgroupsPath": f"/kubepods/{container['name']}",
        "resources": {
            "devices": [{"allow": privileged, "access": "rwm"}],
            "memory": {"limit": _bytes(memory)} if memory else {},
        },
    }
    if not privileged:
        linux |= {"maskedPaths": list(_MASKED), "readonlyPaths": list(_READ_ONLY)}
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": "rootfs", "readonly": security.get("readOnlyRootFilesystem", False)},
        # A mount lies on what its parents mount, whatever the manifest's order.
        "mounts": sorted(mounts, key=lambda mount: mount["destination"].count("/")),
        "linux": linux,
    }
