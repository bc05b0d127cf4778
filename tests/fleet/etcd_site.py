"""An etcd that documents describe: three members of this machine, started with the variables of their files."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_tuned.fleet.etcd_connection import EtcdAccess, EtcdConnection
from aio_tuned.fleet.etcd_store import EtcdStore
from fleet.etcd_cluster import MEMBERS, free_ports
from fleet.shared_stores import KEYRING
from needed import command

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aio_tuned.fleet.keys import Right

WITHIN_S = 60.0


def member_name(member: int) -> str:
    return f"etcd-{member + 1}"


@dataclass(eq=False)
class EtcdSite:
    """A folder with `secrets`, as documents make it, and a folder for each member with its `etcd.env`."""

    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(2 * MEMBERS))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        """Start etcd as its unit does, with the variables of the file."""
        for member in range(MEMBERS):
            folder = self.folder / member_name(member)
            lines = (folder / "etcd.env").read_text().splitlines()
            given = dict(line.split("=", 1) for line in lines if line and line[0] != "#")
            with (folder / "log").open("wb") as log:
                self.processes.append(
                    subprocess.Popen(
                        [command("etcd", "apt-get install etcd-server")],
                        env={"PATH": os.environ["PATH"], **given},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )
        ends = time.monotonic() + WITHIN_S
        while self.ctl("endpoint", "health", login=False).returncode:
            assert time.monotonic() < ends, self.logs()

    def close(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(self.folder.glob("*/log")))

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(f"https://127.0.0.1:{port}" for port in self.ports[:MEMBERS])

    def password(self, user: str) -> str:
        return (self.folder / "secrets/passwords" / user).read_text().strip()

    def ctl(self, *words: str, login: bool = True) -> subprocess.CompletedProcess[str]:
        user = [f"--user=root:{self.password('root')}"] if login else []
        return subprocess.run(
            [command("etcdctl", "apt-get install etcd-client"), f"--endpoints={','.join(self.endpoints)}",
             f"--cacert={self.folder}/secrets/ca.pem", *user, *words],
            env={"PATH": os.environ["PATH"], "ETCDCTL_API": "3"},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def rights(self, user: str) -> set[tuple[str, str, str]]:
        """Return what etcd lets a user do: the access, the first key and the key after the last one."""
        found = set()
        for role in json.loads(self.ctl("user", "get", user, "-w=json").stdout)["roles"]:
            for each in json.loads(self.ctl("role", "get", role, "-w=json").stdout)["perm"]:
                first, end = (base64.b64decode(each[key]).decode() for key in ("key", "range_end"))
                found.add((("read", "write", "readwrite")[each.get("permType", 0)], first, end))
        return found

    def store(self, user: str) -> EtcdStore:
        access = EtcdAccess(
            endpoints=self.endpoints, user=user, password=self.password(user), ca_file=self.folder / "secrets/ca.pem"
        )
        return EtcdStore(EtcdConnection(access, give_up_s=5), KEYRING)


def ranges(rights: Iterable[Right]) -> set[tuple[str, str, str]]:
    """Return rights of the code as `rights()` has them."""
    return {(each.access, each.prefix, each.prefix[:-1] + chr(ord(each.prefix[-1]) + 1)) for each in rights}
