"""docs/ansible: the role is clean, and does in a guest what its page says. Ansible runs in the guest itself."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from needed import command
from vm.daemon_guest import name_of
from vm.guest import READ_BYTES_PER_S, WRITE_BYTES_PER_S
from vm.kept import PROJECT
from vm.product import package

if TYPE_CHECKING:
    from vm.guest import Guest

ANSIBLE = PROJECT / "docs/ansible"
FACT = "/etc/ansible/facts.d/aio_tuned.fact"
DROP_IN = "/etc/aio-tuned/aio-tuned.conf.d/50-ansible.conf"
HANDED_ON = "/etc/default/inference-server"
INVENTORY = "[inference]\nlocalhost ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n"
PLAY = "cd /root/ansible && ANSIBLE_NOCOLOR=1 ANSIBLE_PIPELINING=1 ansible-playbook -i hosts -e @vars.json site.yml"
# Two points that differ in what an emulated drive can be seen to differ in, as in the daemon's tests.
SETTINGS: dict[str, dict[str, Any]] = {
    "choose": {"tolerance_percent": 5.0},
    "grid": {
        "block_size": ["256K", "1M"],
        "queue_depth": [8],
        "io_parallelism": [1],
        "overlap_events": [True],
        "single_submit": [False],
    },
    "sweep": {"time_budget": 16},
    "daemon": {"settle": 0.5},
}


@pytest.mark.parametrize(
    "words", [["ansible-lint", "--offline", "--profile=production"], ["yamllint", "--strict", "."]]
)
def test_the_linters_find_nothing(words: list[str]) -> None:
    done = subprocess.run(
        [command(words[0], "apt-get install ansible-lint"), *words[1:]],
        cwd=ANSIBLE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def play(guest: Guest, settings: dict[str, Any], words: str = "") -> tuple[bool, set[str]]:
    """Play site.yml: whether all went well, and the names of the tasks that changed something."""
    variables = {
        "aio_tuned_package": f"/root/ansible/{package().name}",
        "aio_tuned_settings": settings,
        "aio_tuned_match": [{"model": "Old*", "tune": False}],
        "aio_tuned_wait_for": ["/mnt/x"],
    }
    guest.write("/root/ansible/vars.json", json.dumps(variables))
    job = guest.run(f"{PLAY} {words}", 600)
    print(job.out, job.err)  # what pytest shows of a failure
    parts = re.split(r"^(?:TASK|RUNNING HANDLER) \[(?:aio_tuned : )?(.+?)\] \**$", job.out, flags=re.MULTILINE)
    bodies = zip(parts[1::2], parts[2::2], strict=True)
    return job.status == 0, {name for name, body in bodies if re.search("^changed: ", body, re.MULTILINE)}


@pytest.mark.long
@pytest.mark.timeout(1800)  # five plays, twenty times as slow as elsewhere
def test_a_host_from_nothing_to_measured_settings(bare: Guest) -> None:
    bare.push(ANSIBLE, "/root/ansible")
    bare.write("/root/ansible/hosts", INVENTORY)
    bare.push(package(), f"/root/ansible/{package().name}")
    drive = bare.hotplug("ANS1", "512M", read_bps=READ_BYTES_PER_S, write_bps=WRITE_BYTES_PER_S)
    bare.mount(drive.dev)
    assert bare.sh("/root/ansible/roles/aio_tuned/files/aio_tuned.fact").strip() == "[]"

    # A dry run goes through, and is one.
    well, changed = play(bare, SETTINGS, "--check")
    assert well
    assert {"Copy the package", "Make the folders"} <= changed
    assert bare.run(f"ls /usr/bin/aio-tuned /etc/aio-tuned {FACT} {HANDED_ON}").out == ""

    # The daemon has never run with another configuration than this.
    well, changed = play(bare, SETTINGS)
    assert well
    assert {"Install the package", "Write the configuration", "Install the local fact"} <= changed
    assert bare.sh("systemctl is-active aio-tuned; systemctl is-enabled aio-tuned").split() == ["active", "enabled"]
    assert bare.sh("aio-tuned check-config").strip()
    (shown,) = json.loads(bare.sh(FACT))
    measured = shown["profile"]
    assert measured["device"]["name"] == name_of(drive)
    assert measured["state"] == "measured"
    assert measured["evidence"]["grid_points"] == 2
    read = measured["read"]
    assert dict(line.split("=") for line in bare.read(HANDED_ON).decode().splitlines() if line[0] != "#") == {
        "AIO_BLOCK_SIZE": str(read["block_size"]),
        "AIO_QUEUE_DEPTH": "8",
        "AIO_IO_PARALLELISM": "1",
        "AIO_OVERLAP_EVENTS": "true",
        "AIO_SINGLE_SUBMIT": "false",
    }

    # Again: there is nothing to do.
    pid = bare.sh("systemctl show aio-tuned -P MainPID")
    assert play(bare, SETTINGS) == (True, set())

    # What the daemon would not take is not written; what is written is taken in without a restart.
    before = bare.read(DROP_IN)
    assert play(bare, {"sweep": {"spam": 1}}) == (False, set())
    assert bare.read(DROP_IN) == before
    quiet = {**SETTINGS, "throttle": {"quiet_hours": ["08:00-20:00"]}}
    assert play(bare, quiet) == (True, {"Write the configuration", "Reload aio-tuned"})
    assert 'quiet_hours = ["08:00-20:00"]' in bare.read(DROP_IN).decode()
    assert "configuration reloaded" in bare.sh("journalctl -u aio-tuned -o cat --no-pager")
    assert bare.sh("systemctl show aio-tuned -P MainPID") == pid
