"""docs/how-to/fleet.md: its commands and files, typed as they are there, set up an etcd with the rights of the code."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.cli import main
from aio_tuned.fleet.keys import coordinator_rights, node_rights, operator_rights
from aio_tuned.fleet.signature import SigningKey
from aio_tuned.fleet.store import LoginError
from fleet.etcd_cluster import MEMBERS
from fleet.etcd_site import EtcdSite, member_name, ranges
from fleet.shared_stores import NODE_KEY
from needed import command
from unit.support.builders import PROJECT
from unit.support.fleet import sweep_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = PROJECT / "docs/how-to/fleet.md"
NODES = ("gpu-1", "gpu-2", "gpu-3")


def blocks(heading: str) -> list[str]:
    """Return the shell blocks below a heading, up to the next one."""
    section = re.split(rf"^##+ {re.escape(heading)}$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    return re.findall(
        r"^ *```sh\n(.*?)^ *```", re.split("^##", section, flags=re.MULTILINE)[0], re.MULTILINE | re.DOTALL
    )


@dataclass(eq=False)
class Typed(EtcdSite):
    """The etcd of the page; names of hosts are ports of this one, and folders of the system are those of the test."""

    def here(self, text: str) -> str:
        for member in range(MEMBERS):
            for port, at in ((2379, member), (2380, MEMBERS + member)):
                text = text.replace(f"{member_name(member)}:{port}", f"127.0.0.1:{self.ports[at]}")
        return text.replace("DNS:$member", "IP:127.0.0.1").replace("fleet-secrets", "secrets")

    def type_in(self, text: str, folder: str = "") -> str:
        done = subprocess.run(
            ["bash", "-eu", "-c", self.here(text)],
            cwd=self.folder / folder, env={"PATH": os.environ["PATH"]},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def type_as_root_of_etcd(self, text: str) -> str:
        """Type commands where the page has logged in."""
        begin, _, _ = blocks("Users and roles")[0].partition("etcdctl role add root")
        return self.type_in(f'{begin}export ETCDCTL_USER="root:$(password root)"\n{text}', "secrets")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typed]:
    for needed, get in (("etcd", "etcd-server"), ("etcdctl", "etcd-client"), ("openssl", "openssl")):
        command(needed, f"apt-get install {get}")
    made = Typed(tmp_path_factory.mktemp("how-to"))
    (certificates,) = blocks("Certificates")
    made.type_in(certificates)
    copies, environment, _ = blocks("etcd")
    for member in range(MEMBERS):
        name = member_name(member)
        folder = made.folder / name
        folder.mkdir()
        installs = [line for line in copies.splitlines() if line.startswith("sudo install")]
        own = "\n".join(installs).replace("sudo ", "").replace("-o etcd ", "").replace("$(hostname)", name)
        made.type_in(own.replace("/etc/etcd", f"{folder}/etcd"), "secrets")
        first, rest = environment.split("ETCD_DATA_DIR", 1)
        text = first.replace("etcd-1", name) + "ETCD_DATA_DIR" + rest
        text = text.replace("0.0.0.0:2379", f"{name}:2379").replace("0.0.0.0:2380", f"{name}:2380")
        text = text.replace("/etc/etcd", f"{folder}/etcd").replace("/var/lib/etcd", str(folder))
        (folder / "etcd.env").write_text(made.here(text))
    try:
        made.start()
        users, *_ = blocks("Users and roles")
        made.type_in(users, "secrets")
        yield made
    finally:
        made.close()


def test_each_user_has_the_rights_of_the_code_and_no_others(site: Typed) -> None:
    for node in NODES:
        assert site.rights(node) == ranges(node_rights(node))
    assert site.rights("aio-tuned-coordinator") == ranges(coordinator_rights())
    assert site.rights("alice") == ranges(operator_rights())


def test_the_passwords_are_the_users(site: Typed) -> None:
    assert [*site.store("gpu-1").list_reports("gpu-1")] == []
    assert [*site.store("aio-tuned-coordinator").list_reports()] == [*site.store("alice").list_reports()] == []


def test_a_node_is_removed(site: Typed) -> None:
    node = site.store("gpu-3")
    node.put_report(NODE_KEY.sign(sweep_report("gpu-3")))
    (removal,) = blocks("Remove a node")
    site.type_as_root_of_etcd(removal.replace("gpu-17", "gpu-3"))
    with pytest.raises(LoginError):
        node.put_report(NODE_KEY.sign(sweep_report("gpu-3")))
    assert [*site.store("alice").list_reports()] == []


def test_space_is_freed(site: Typed) -> None:
    (free,) = blocks("When etcd is full")
    assert "compacted revision" in site.type_as_root_of_etcd(free)


def test_the_public_key_of_a_file_is_seen_again(tmp_path: Path) -> None:
    key = SigningKey(Ed25519PrivateKey.generate())
    (tmp_path / "signing-key").write_bytes(key.to_pem())
    (shown,) = blocks("Replace keys and passwords")
    text = shown.replace("sudo ", "").replace("/etc/aio-tuned/fleet", str(tmp_path))
    assert subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout.strip() == key.public


def test_the_commands_of_the_page_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    found = [line for line in lines if re.match(r"(sudo )?aio-tuned ", line)]
    assert len(found) > 10
    for line in found:
        words = shlex.split(line, comments=True)
        main.parser().parse_args(words[words.index("aio-tuned") + 1 :])
