"""A guest with an etcd, the programs of a fleet and the daemon, which is one node of the fleet after the other."""

from __future__ import annotations

import importlib.metadata
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from busy import busy_s
from vm.daemon_guest import DROP_INS, DaemonGuest
from vm.guest import TOLERANT
from vm.kept import PROJECT

if TYPE_CHECKING:
    from vm.daemon_guest import Entry

NODES = ("n1", "n2", "n3", "n4")
OPERATOR = "alice"
AGENT, COORDINATOR = "aio-tuned-fleet", "aio-tuned-fleet-coordinator"
# What is kept while the guest becomes another node.
SITE = "/root/site"
PASSWORDS = f"{SITE}/secrets/passwords"
CREDENTIALS = "/etc/aio-tuned/fleet"
NODE_KEYS = "/etc/aio-tuned-nodes"
# Debian 12 has etcd3gw 2.0, which is too old. This stands in for pip, which would need a network.
_ETCD3GW = ("etcd3gw", "futurist", "debtcollector", "wrapt", "pbr")
_LIBRARIES = "/usr/local/lib/python3.11/dist-packages"
# As daemon_guest.small(). Transfers are whole queues, since drives have a latency in place of a limit. The pressure is
# that of an etcd, which syncs all the time to the guest's own disk.
SETTINGS = f"""{TOLERANT}
[grid]
block_size = ["512K", "1M"]
queue_depth = [8]
io_parallelism = [1]
overlap_events = [true]
single_submit = [false]
[sweep]
transfer_bytes = "32M"
time_budget = {busy_s(40)}
drop_caches = "file"
[daemon]
settle = 0.5
min_retry = 600
[throttle]
min_pause = 1
busy_requests_per_s = 0
busy_pressure_percent = 100
"""
_INVENTORY = f"""
[fleet_etcd]
etcd-1 fleet_etcd_address=127.0.0.1 fleet_etcd_listen=127.0.0.1
[fleet_nodes]
{chr(10).join(NODES)}
[all:vars]
ansible_connection=local
ansible_python_interpreter=/usr/bin/python3
fleet_secrets={SITE}/secrets
"""
_PLAY = f"cd {SITE}/ansible && ANSIBLE_NOCOLOR=1 ansible-playbook -i hosts -e @vars.json --limit fleet_etcd fleet.yml"
# Signs and sends the reports of this node as other nodes would theirs.
_STAND_IN = """
import sys, time
from dataclasses import replace
from pathlib import Path
from aio_tuned.config.load import load_config
from aio_tuned.fleet import access
from aio_tuned.fleet.signature import SigningKey
from aio_tuned.fleet.spool import Spool

config = load_config(Path("/etc/aio-tuned/aio-tuned.conf"))
reports = Spool(config.state).reports()
for node in sys.argv[3:]:
    key = SigningKey.from_pem(Path(sys.argv[1], f"{node}.key").read_bytes(), node)
    password = Path(sys.argv[2], node).read_text().strip()
    store = access.open_store(config, access.keyring(config), user=node, password=password)
    for report in reports:
        store.put_report(key.sign(replace(report, node=node, sent_s=int(time.time()))))
print(*sorted(report.basis for report in reports))
"""


class FleetGuest(DaemonGuest):
    """One Debian 12 machine with everything of a fleet; `public` has the public keys of nodes and the coordinator."""

    public: dict[str, str]

    def make_site(self) -> None:
        """Set up etcd as the Ansible role does, and make the keys of all nodes."""
        self._push_etcd3gw()
        self.push(PROJECT / "docs/ansible", f"{SITE}/ansible")
        self.write(f"{SITE}/ansible/hosts", _INVENTORY)
        self.write(f"{SITE}/ansible/vars.json", json.dumps({"fleet_etcd_operators": [OPERATOR]}))
        self.sh(_PLAY, 600)
        keys = (*NODES, "coordinator")
        made = self.sh(f"cd {SITE} && for key in {' '.join(keys)}; do aio-tuned fleet keygen $key.key; done", 240)
        self.public = dict(zip(keys, made.split(), strict=True))
        self.write(NODE_KEYS, "".join(f"{node} {self.public[node]}\n" for node in NODES))
        self.write(f"{SITE}/stand_in.py", _STAND_IN)

    def _push_etcd3gw(self) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name in _ETCD3GW:
                found = importlib.metadata.distribution(name)
                for file in found.files or ():
                    # Compiled parts are for this machine's Python.
                    if ".." not in file.parts and file.suffix not in (".pyc", ".so"):
                        tar.add(Path(str(found.locate_file(file))), arcname=str(file))
        self.write("/tmp/etcd3gw.tar", packed.getvalue())
        self.sh(f"mkdir -p {_LIBRARIES} && tar -xf /tmp/etcd3gw.tar --no-same-owner -C {_LIBRARIES}")
        self.sh("python3 -c 'import etcd3gw; print(etcd3gw.__file__)'", 120)

    # --- which node it is --------------------------------------------------------------------------------------

    def become(self, node: str, serial: str, **fleet: Any) -> None:  # noqa: ANN401 - any value of the configuration
        """Be that node from now on, as a machine that has just got the package, and start its daemon and its agent."""
        self.sh(f"systemctl stop aio-tuned {AGENT}", 120)
        self.forget()
        # What the package made is gone, too.
        self.sh(f"systemd-tmpfiles --create aio-tuned.conf && mkdir -p {DROP_INS}")
        self.credential("password", f"{PASSWORDS}/{node}")
        self.credential("signing-key", f"{SITE}/{node}.key")
        self.credential("coordinator-password", f"{PASSWORDS}/aio-tuned-coordinator")
        self.credential("coordinator-key", f"{SITE}/coordinator.key")
        self.begin(self.config(node, serial, **fleet))
        self.sh(f"systemctl enable --now {AGENT} {COORDINATOR}", 120)

    def credential(self, name: str, file: str) -> None:
        self.sh(f"install -m 600 {file} {CREDENTIALS}/{name}")

    def config(self, node: str, *serials: str, enabled: bool = True, **fleet: Any) -> str:  # noqa: ANN401 - as above
        """The configuration of that node, whose drives are these."""
        keys = {
            "enabled": enabled,
            "endpoints": ["https://127.0.0.1:2379"],
            "ca_file": "/etc/etcd/ca.pem",
            "node": node,
            "trusted_keys": [self.public["coordinator"]],
            "node_keys": NODE_KEYS,
            **fleet,
        }
        section = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        only = "".join(f'[[match]]\nserial = "{serial}"\ntune = true\n' for serial in serials)
        return f'{SETTINGS}[fleet]\n{section}{only}[[match]]\nname = "*"\ntune = false\n'

    def stand_in(self, *nodes: str) -> str:
        """Send this node's reports as those of other nodes, with their keys and users; what these were."""
        words = ["python3", f"{SITE}/stand_in.py", SITE, PASSWORDS, *nodes]
        return self.sh(words, 120).strip()

    # --- what is said ------------------------------------------------------------------------------------------

    def spooled(self, name: str) -> dict[str, Entry]:
        """The reports of that drive for the agent, by their basis."""
        found = {}
        for basis in ("sweep", "check", "presence"):
            job = self.run(["cat", f"/var/lib/aio-tuned/fleet/out/{name}.{basis}.json"])
            if job.status == 0:
                found[basis] = json.loads(job.out)
        return found

    def order(self, name: str) -> Entry:
        """The order for that drive; {} without one."""
        job = self.run(["cat", f"/var/lib/aio-tuned/fleet/in/{name}.json"])
        found: Entry = json.loads(job.out) if job.status == 0 else {}
        return found

    def fleet(self, *words: str) -> str:
        """The output of a command of `aio-tuned fleet` by the operator."""
        login = ["--user", OPERATOR, "--password-file", f"{PASSWORDS}/{OPERATOR}"]
        return self.sh(["aio-tuned", "fleet", *words, *login], 120)

    def classes(self) -> list[Entry]:
        """What `fleet status` says of each class."""
        found: list[Entry] = json.loads(self.fleet("status", "--json"))["classes"]
        return found

    def said_by(self, unit: str) -> str:
        """What that unit has said since the test began."""
        words = ["journalctl", "-u", unit, "-o", "cat", "--no-pager", f"--after-cursor={self.cursor}"]
        return self.sh(words)
