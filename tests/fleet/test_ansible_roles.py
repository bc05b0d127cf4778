"""docs/ansible/fleet.yml: the etcd that the role sets up, and what its users may do. Ansible plays on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.fleet.keys import Slot, coordinator_rights, node_rights, operator_rights
from aio_tuned.fleet.signature import SigningKey
from aio_tuned.fleet.store import ClassEntry, LoginError, RightsError
from fleet.etcd_cluster import MEMBERS
from fleet.etcd_site import EtcdSite, member_name, ranges
from fleet.shared_stores import COORDINATOR_KEY, NODE_KEY
from needed import command
from unit.support.builders import PROJECT
from unit.support.fleet import class_result, sweep_report

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
ANSIBLE = PROJECT / "docs/ansible"
NODES = ("gpu-1", "gpu-2")
HOSTS = (*NODES, "head-1")
CLASS = "a" * 16
GET = "apt-get install ansible-core"


@dataclass(eq=False)
class Site(EtcdSite):
    """The hosts of a site: three members, each a folder of this machine, and nodes."""

    def __post_init__(self) -> None:
        members = {
            member_name(member): {
                "fleet_etcd_address": "127.0.0.1",
                "fleet_etcd_listen": "127.0.0.1",
                "fleet_etcd_client_port": self.ports[member],
                "fleet_etcd_peer_port": self.ports[MEMBERS + member],
            }
            for member in range(MEMBERS)
        }
        of_all = {
            "fleet_services": False,
            "fleet_member_program": str(Path(sys.executable).with_name("aio-tuned")),
            "fleet_member_folder": f"{self.folder}/{{{{ inventory_hostname }}}}",
            "fleet_member_settings": {"max_wait": "2h"},
            "ansible_connection": "local",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_become": False,
            "fleet_secrets": str(self.folder / "secrets"),
            "fleet_etcd_owner": str(os.getuid()),
            "fleet_etcd_folder": f"{self.folder}/{{{{ inventory_hostname }}}}/etcd",
            "fleet_etcd_data": f"{self.folder}/{{{{ inventory_hostname }}}}/data",
            "fleet_etcd_environment": f"{self.folder}/{{{{ inventory_hostname }}}}/etcd.env",
        }
        for name in (*members, *HOSTS):
            (self.folder / name).mkdir(parents=True)
        groups = {
            "fleet_etcd": {"hosts": members},
            "fleet_nodes": {"hosts": {node: {} for node in NODES}},
            "fleet_coordinators": {"hosts": {"gpu-1": {}, "head-1": {}}},
        }
        (self.folder / "hosts.json").write_text(json.dumps({"all": {"vars": of_all, "children": groups}}))

    def play(self, *words: str, fails: bool = False, **variables: Any) -> tuple[set[str], str]:  # noqa: ANN401 - JSON
        """Return the names of the tasks that changed something, and all that Ansible printed."""
        done = subprocess.run(
            [command("ansible-playbook", GET), "-i", self.folder / "hosts.json", "-e", json.dumps(variables),
             "--diff", *words, ANSIBLE / "fleet.yml"],
            capture_output=True, text=True, check=False, timeout=300,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp")},
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        parts = re.split(r"^(?:TASK|RUNNING HANDLER) \[(?:\w+ : )?(.+?)\] \**$", done.stdout, flags=re.MULTILINE)
        bodies = zip(parts[1::2], parts[2::2], strict=True)
        return {name for name, body in bodies if re.search("^changed: ", body, re.MULTILINE)}, done.stdout

    def make_files(self) -> set[str]:
        """Play what needs no etcd: packages and services are those of the machine."""
        return self.play("--tags=certificates,members", "--skip-tags=package")[0]

    def connect(self, *words: str) -> set[str]:
        """Play the nodes and coordinators, without what needs their services."""
        changed, _ = self.play("--tags=nodes", "--skip-tags=package", *words)
        return changed

    def _command(self, host: str, *words: str) -> list[str]:
        # The drop-in alone: `aio-tuned.conf` comes with the package.
        configuration = self.folder / host / "aio-tuned.conf.d/60-fleet.conf"
        return [str(Path(sys.executable).with_name("aio-tuned")), f"--config={configuration}", *words]

    def run(self, host: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(host, *words),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    @contextmanager
    def running(self, host: str, program: str, *, key: str, password: str) -> Iterator[Path]:
        """Run a program of the fleet with its credentials, as its unit does; yield the path of its log."""
        credentials = self.folder / host / f"credentials-{program}"
        credentials.mkdir()
        for name, file in (("signing-key", key), ("password", password)):
            shutil.copy(self.folder / host / "fleet" / file, credentials / name)
        path = self.folder / host / f"{program}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                self._command(host, "fleet", program),
                env={**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield path
            process.terminate()
            assert process.wait(timeout=60) == 0, path.read_text()
        finally:
            process.kill()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("site"))
    site.make_files()
    return site


@pytest.fixture(scope="module")
def site(files: Site) -> Iterator[Site]:
    try:
        files.start()
        files.play("--tags=users", fleet_etcd_operators=["alice"])
        yield files
    finally:
        files.close()


def test_a_second_play_changes_nothing(site: Site) -> None:
    assert site.make_files() == set()
    assert site.play("--tags=users", fleet_etcd_operators=["alice"])[0] == set()


def test_secrets_are_for_their_owner_alone(files: Site) -> None:
    secrets = files.folder / "secrets"
    assert secrets.stat().st_mode & 0o777 == 0o700
    keys = [*secrets.glob("*.key"), *files.folder.glob("etcd-*/etcd/*.key")]
    assert len(keys) == MEMBERS + 2 + 2 * MEMBERS
    assert {path.stat().st_mode & 0o077 for path in keys} == {0}


def test_each_user_has_the_rights_of_the_code_and_no_others(site: Site) -> None:
    for node in NODES:
        assert site.rights(node) == ranges(node_rights(node))
    assert site.rights("aio-tuned-coordinator") == ranges(coordinator_rights())
    assert site.rights("alice") == ranges(operator_rights())


def test_nodes_and_coordinators_work_with_them(site: Site) -> None:
    node, coordinator = site.store("gpu-1"), site.store("aio-tuned-coordinator")
    report = NODE_KEY.sign(sweep_report("gpu-1", hardware_class=CLASS))
    node.put_report(report)
    assert [*node.list_reports("gpu-1")] == [*coordinator.list_reports()] == [report]
    with pytest.raises(RightsError):
        site.store("gpu-2").put_report(report)
    claim = node.claim(Slot("claim", CLASS, 0), "gpu-1", 30)
    assert claim
    node.release(claim)
    coordinator.put_class(COORDINATOR_KEY.sign(class_result(hardware_class=CLASS)), ClassEntry(None, 0))
    assert node.get_class(CLASS).result
    assert coordinator.claim(Slot("leader", "coordinator", 0), "c1", 30)


def test_no_password_is_printed_or_in_an_argument(site: Site) -> None:
    changed, printed = site.play("--tags=users", "-vvv", fleet_etcd_operators=["alice", "bob"])
    assert changed == {"Write the users and roles"}
    assert "user bob" in printed
    for path in (site.folder / "secrets/passwords").iterdir():
        assert path.read_text().strip() not in printed, path.name


def test_a_node_that_is_removed_can_do_nothing_more(site: Site) -> None:
    site.play("--tags=users", fleet_etcd_nodes=[*NODES, "gpu-3"])
    node = site.store("gpu-3")
    node.put_report(NODE_KEY.sign(sweep_report("gpu-3", hardware_class=CLASS)))
    _, printed = site.play("--tags=users", "--check", fleet_etcd_absent=["gpu-3"])
    assert "keys /aio-tuned/v1/report/gpu-3/" in printed
    node.put_report(NODE_KEY.sign(sweep_report("gpu-3", hardware_class=CLASS)))
    site.play("--tags=users", fleet_etcd_nodes=[*NODES, "gpu-3"], fleet_etcd_absent=["gpu-3"])
    with pytest.raises(LoginError):  # although its token has not expired
        node.put_report(NODE_KEY.sign(sweep_report("gpu-3", hardware_class=CLASS)))
    assert [*site.store("alice").list_reports("gpu-3")] == []
    assert "gpu-3" not in site.ctl("role", "list").stdout


def test_a_password_that_was_removed_is_a_new_one(site: Site) -> None:
    old = site.password("gpu-2")
    (site.folder / "secrets/passwords/gpu-2").unlink()
    site.play("--tags=users", fleet_etcd_update_passwords=True)
    assert site.password("gpu-2") != old
    site.store("gpu-2").list_reports("gpu-2")


def test_rights_that_were_changed_by_hand_are_set_again(site: Site) -> None:
    site.ctl("role", "grant-permission", "aio-tuned-node", "--prefix", "readwrite", "/aio-tuned/v1/class/")
    site.ctl("role", "grant-permission", "gpu-1", "--prefix", "read", "/")
    site.ctl("user", "grant-role", "gpu-1", "root")
    site.play("--tags=users")
    assert site.rights("gpu-1") == ranges(node_rights("gpu-1"))
    assert "root" not in site.ctl("user", "get", "gpu-1").stdout


def test_a_certificate_is_renewed_while_etcd_runs(site: Site) -> None:
    """By what etcd reads for each connection."""
    served = site.folder / "etcd-1/etcd/server.pem"
    before = served.read_text()
    (site.folder / "secrets/etcd-1.pem").unlink()
    changed = site.make_files()
    assert {"Sign the certificates of the members", "Copy the certificates"} <= changed
    assert "Restart etcd" not in changed
    assert served.read_text() != before
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{site.ports[0]}", "-CAfile", site.folder / "secrets/ca.pem",
         "-verify_return_error"],
        input="", capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert served.read_text().strip() in shown.stdout


def test_a_wrong_root_password_is_named(site: Site) -> None:
    kept = site.password("root")
    path = site.folder / "secrets/passwords/root"
    path.write_text("another")
    try:
        _, printed = site.play("--tags=users", fails=True)
    finally:
        path.write_text(f"{kept}\n")
    assert "authentication failed" in printed


# --- nodes and coordinators ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet_site(site: Site) -> Site:
    site.connect()
    return site


def test_a_second_play_of_the_nodes_changes_nothing(fleet_site: Site) -> None:
    assert fleet_site.connect() == set()


def test_a_dry_run_of_the_nodes_goes_through(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.make_files()
    assert site.connect("--check") == {"Make the folders"}
    assert [path.name for host in HOSTS for path in (tmp_path / host).iterdir()] == []


def test_private_keys_stay_on_their_hosts(fleet_site: Site) -> None:
    for host, names in {
        "gpu-1": {"signing-key", "password", "coordinator-key", "coordinator-password"},
        "gpu-2": {"signing-key", "password"},
        "head-1": {"coordinator-key", "coordinator-password"},
    }.items():
        folder = fleet_site.folder / host / "fleet"
        assert {path.name for path in folder.iterdir()} == names
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    public = [*fleet_site.folder.glob("secrets/*-keys/*")]
    assert len(public) == 4
    assert all(len(path.read_text().strip()) == 44 for path in public)


def test_the_programs_run_with_what_the_role_wrote(fleet_site: Site) -> None:
    """Three reports give the class that `fleet status` shows."""
    for node in NODES:
        key = SigningKey.from_pem((fleet_site.folder / node / "fleet/signing-key").read_bytes(), node)
        report = sweep_report(node, hardware_class="b" * 16, at_s=int(time.time()))
        fleet_site.store(node).put_report(key.sign(replace(report, sent_s=int(time.time()))))
    with fleet_site.running("head-1", "coordinator", key="coordinator-key", password="coordinator-password") as log:  # noqa: S106 - names of files
        ends = time.monotonic() + 60
        while True:
            done = fleet_site.run("head-1", "fleet", "status", "--json", "--user=alice",
                                  f"--password-file={fleet_site.folder}/secrets/passwords/alice")  # fmt: skip
            assert done.returncode == 0, done.stderr
            classes = {each["class"]: each for each in json.loads(done.stdout)["classes"]}
            if "b" * 16 in classes:
                break
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.5)
    assert (classes["b" * 16]["swept"], classes["b" * 16]["ignored"]) == (2, 0)
    assert fleet_site.run("gpu-2", "check-config").returncode == 0
