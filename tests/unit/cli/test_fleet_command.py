"""aio-tuned fleet: the commands of operators, on a store in memory in place of etcd."""

from __future__ import annotations

import argparse
import getpass
import json
import stat
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aio_tuned.cli.fleet import login
from aio_tuned.cli.main import main
from aio_tuned.errors import Exit
from aio_tuned.fleet import access, bundle, keys
from aio_tuned.fleet.class_status import Noted
from aio_tuned.fleet.consensus import Contributor, Rejected
from aio_tuned.fleet.memory_store import MemoryStore, SharedMemory
from aio_tuned.fleet.rollout import Rollout
from aio_tuned.fleet.signature import Keyring, SigningKey
from aio_tuned.model.profile import SHARE_ONE
from unit.support.builders import SMALL_GRID
from unit.support.fleet import (
    CLASS,
    POINTS,
    class_pin,
    class_plan,
    class_result,
    class_status,
    presence_report,
    sweep_report,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.fleet.store import Store

COORDINATOR, NODE, STRANGER = (SigningKey(Ed25519PrivateKey.generate()) for _ in range(3))
KEYRING = Keyring.of(coordinators=[COORDINATOR.public], nodes=[NODE.public])
OTHER_CLASS = "0123ffffffffffff"
NOW_S = 1_800_000_000


class Fleet:
    """The store's content, and who logged in to it."""

    def __init__(self) -> None:
        self.shared = SharedMemory()
        self.logins: list[tuple[str, str]] = []
        self.coordinator = MemoryStore(self.shared, KEYRING, keys.coordinator_rights())
        self.node = MemoryStore(self.shared, KEYRING, keys.node_rights("n1"))
        self.operator = MemoryStore(self.shared, KEYRING, keys.operator_rights())

    def open(self, config: Config, keyring: Keyring, *, user: str, password: str) -> Store:
        del config
        self.logins.append((user, password))
        return MemoryStore(self.shared, keyring, keys.operator_rights())

    def put_class(self, *generations: Any, reach: int = SHARE_ONE, before: int = 0, **status: Any) -> None:  # noqa: ANN401 - results and fields
        """Store generations of a class, the last one as the current result, with its plan and its status."""
        current = generations[-1] if generations else class_result()
        for each in generations or (current,):
            self.coordinator.put_class(COORDINATOR.sign(each), self.coordinator.get_class(each.hardware_class))
        key, number = current.hardware_class, current.generation
        rollout = Rollout(hardware_class=key, generation=number, step=2, reach=reach, since_s=NOW_S, before=before)
        self.coordinator.put_plan(COORDINATOR.sign(class_plan(hardware_class=key, generation=number, rollout=rollout)))
        self.coordinator.put_status(COORDINATOR.sign(class_status(hardware_class=key, **{"generation": 1, **status})))


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    found = Fleet()
    monkeypatch.setattr(access, "open_store", found.open)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(time, "time", lambda: NOW_S + 600)
    return found


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "node-keys").write_text(f"n1 {NODE.public}\n")
    path = tmp_path / "aio-tuned.conf"
    path.write_text(
        f'[fleet]\nenabled = true\nendpoints = ["https://etcd-1:2379"]\nca_file = "/ca.pem"\n'
        f'trusted_keys = ["{COORDINATOR.public}"]\nnode_keys = "{tmp_path}/node-keys"\n'
        f'[paths]\nprofiles = "{tmp_path}/profiles"\n'
    )
    return path


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("secret\n")
    path.chmod(0o600)
    return path


def run(conf: Path, *words: str | Path, file: Path | None = None) -> int:
    login = ["--user", "alice", "--password-file", str(file)] if file else []
    return main(["--config", str(conf), "fleet", *map(str, words), *login])


# --- access ----------------------------------------------------------------------------------------------


ASKING: Sequence[tuple[str, ...]] = (
    ("status",),
    ("explain", "n1"),
    ("pin", CLASS, "--read", "queue_depth=8", "--why", "x"),
    ("unpin", CLASS),
    ("rollback", CLASS),
    ("export", "-"),
    ("agent",),
    ("coordinator",),
)


@pytest.mark.parametrize("words", ASKING, ids=lambda words: words[0])
def test_without_a_fleet_the_error_names_the_key(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "aio-tuned.conf"
    conf.write_text("")
    assert run(conf, *words) == Exit.CONFIG
    assert capsys.readouterr().err.startswith("aio-tuned: [fleet] enabled: is false; set it to true")


def test_a_missing_package_is_named_with_its_command(conf: Path, password: Path) -> None:
    text = (
        "import sys; sys.modules['cryptography'] = None; from aio_tuned.cli.main import main;"
        f" sys.exit(main(['--config', {str(conf)!r}, 'fleet', 'status', '--password-file', {str(password)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == Exit.CONFIG
    assert done.stderr.startswith("aio-tuned: [fleet] needs cryptography: apt-get install python3-cryptography")


def test_the_user_and_the_password_are_those_of_the_operator(fleet: Fleet, conf: Path, password: Path) -> None:
    assert run(conf, "status", file=password) == Exit.OK
    assert fleet.logins == [("alice", "secret")]


def test_a_credential_of_the_unit_is_a_password(fleet: Fleet, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (conf.parent / "credentials").mkdir()
    (conf.parent / "credentials" / "password").write_text("of the unit")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(conf.parent / "credentials"))
    monkeypatch.setattr(getpass, "getuser", lambda: "bob")
    assert run(conf, "status") == Exit.OK
    assert fleet.logins == [("bob", "of the unit")]


def test_a_terminal_is_asked_for_the_password(fleet: Fleet, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: f"typed after {prompt}")
    assert run(conf, "status", "--user", "alice") == Exit.OK
    assert fleet.logins == [("alice", "typed after password of alice: ")]


@pytest.mark.usefixtures("fleet")
def test_without_a_terminal_the_password_needs_a_file(
    conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert run(conf, "status") == Exit.CONFIG
    assert "--password-file: missing, and there is no terminal to ask" in capsys.readouterr().err


@pytest.mark.usefixtures("fleet")
def test_a_password_that_others_may_read_is_refused(
    conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    password.chmod(0o640)
    assert run(conf, "status", file=password) == Exit.CONFIG
    assert f"{password}: other users may read it (mode 0640); run chmod 600 {password}" in capsys.readouterr().err


@pytest.mark.usefixtures("fleet")
def test_a_password_file_that_is_missing_is_named(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(conf, "status", file=conf.parent / "none") == Exit.CONFIG
    assert "none: cannot be read: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["agent", "coordinator"])
def test_a_program_is_stopped_by_sigterm(command: str, conf: Path) -> None:
    """The program is one that waits for its event, as the real one does; the command sets it on SIGTERM."""
    text = (
        "import os, signal, sys, types\n"
        "def run(config, stop):\n"
        "    assert config.fleet and not stop.is_set()\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop.wait(10)\n"
        "    print('gave back what it held')\n"
        f"made = types.ModuleType('aio_tuned.fleet.{command}')\n"
        "made.run = run\n"
        "import aio_tuned.fleet\n"
        f"sys.modules[made.__name__] = aio_tuned.fleet.{command} = made\n"
        "from aio_tuned.cli.main import main\n"
        f"sys.exit(main(['--config', {str(conf)!r}, 'fleet', '{command}']))\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "gave back what it held\n"), done.stderr


def test_the_parser_of_a_program_loads_no_other_command() -> None:
    text = (
        "import sys; from aio_tuned.cli.main import parser; parser(['fleet', 'agent']).parse_args(['fleet', 'agent']);"
        " print([name for name in sys.modules if name.startswith(('numpy', 'aio_tuned.fleet', 'aio_tuned.cli.tune',"
        " 'cryptography', 'etcd3gw'))])"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--class", ""),
        ("status", "--user", ""),
        ("status", "--password-file", ""),
        ("explain", ""),
        ("pin", "", "--read", "queue_depth=8", "--why", "x"),
        ("pin", CLASS, "--read", "queue_depth=8", "--why", ""),
        ("unpin", ""),
        ("rollback", ""),
        ("export", ""),
        ("export", "file", ""),
        ("import", ""),
        ("keygen", ""),
    ],
    ids=" ".join,
)
def test_an_empty_argument_is_wrong_usage(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["fleet", *words])
    assert left.value.code == Exit.USAGE
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith(f"aio-tuned fleet {words[0]}: argument ")
    assert line.endswith(": must not be empty")


# --- status ----------------------------------------------------------------------------------------------


def test_the_status_is_a_table_of_classes_with_what_needs_a_look(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.put_class(
        generation=2,
        pinned="by alice: latency first",
        disagreement="read: 40 % apart",
        noted=(
            Noted("stale", "n9", "nvme-ACME_X1_S9_1", "last reported 15 d ago"),
            Noted("odd", "n7", "nvme-ACME_X1_S7_1", "read: 40 % slower than its class"),
        ),
    )
    fleet.put_class(
        class_result(hardware_class=OTHER_CLASS),
        about="",
        generation=0,
        rollout=None,
        swept=1,
        decision="",
        noted=(),
        ignored=0,
        refused=0,
        stale=0,
        nodes=1,
        drives=8,
        confirmed=0,
        waiting=8,
    )
    assert run(conf, "status", file=password) == Exit.OK
    assert capsys.readouterr().out == (
        "class             generation  drives  confirmed  waiting  odd  stale  swept  hardware\n"
        f"{CLASS}  2, 10 %     80,000      7,600        3    1      4  3/3    ACME X1, firmware 1.0, 3.84 TB, xfs\n"
        f"{OTHER_CLASS}  none yet         8          0        8    0      0  1/3    unknown\n"
        "\n"
        f"class {CLASS}: ACME X1, firmware 1.0, 3.84 TB, xfs; 10,000 nodes; as of 10 min ago\n"
        "  generation 2: 95 of 100 nodes confirm it\n"
        "  pinned: by alice: latency first\n"
        "  ! checks of 12 of its drives do not confirm generation 2\n"
        "  ! the sweeps disagree: read: 40 % apart\n"
        "  ! 1 report is ignored, because no trusted key signed them, or they are damaged\n"
        "  ! odd n7 nvme-ACME_X1_S7_1: read: 40 % slower than its class\n"
        "  ! stale n9 nvme-ACME_X1_S9_1: last reported 15 d ago\n"
        "\n"
        f"class {OTHER_CLASS}: unknown hardware; 1 node; as of 10 min ago\n"
        "  waiting for its sweeps: 1 of 3 swept\n"
    )


def test_the_status_may_be_of_one_class_by_its_first_digits(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.put_class()
    fleet.put_class(class_result(hardware_class=OTHER_CLASS))
    assert run(conf, "status", "--class", "01234", "--json", file=password) == Exit.OK
    (found,) = json.loads(capsys.readouterr().out)["classes"]
    assert (found["class"], found["drives"]) == (CLASS, 80_000)
    assert found["rollout"] == {"reach_percent": 10, "since": NOW_S}
    assert found["noted"][0]["node"] == "n7"
    assert run(conf, "status", "--class", "0123", file=password) == Exit.TARGET
    assert f"class 0123: the start of 2 classes; give more digits, as in {CLASS}" in capsys.readouterr().err
    assert run(conf, "status", "--class", "9", file=password) == Exit.TARGET
    assert "class 9: not of this fleet; aio-tuned fleet status lists the classes" in capsys.readouterr().err


@pytest.mark.usefixtures("fleet")
def test_a_new_fleet_has_no_classes(conf: Path, password: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(conf, "status", file=password) == Exit.OK
    assert capsys.readouterr().out.startswith("the fleet has no classes yet; the coordinator writes them")
    assert run(conf, "status", "--json", file=password) == Exit.OK
    assert json.loads(capsys.readouterr().out) == {"classes": []}


# --- explain ---------------------------------------------------------------------------------------------


def test_a_node_is_explained_by_its_reports_and_its_class(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent_s = NOW_S - 7200
    fleet.node.put_report(NODE.sign(sweep_report(sent_s=sent_s)))
    fleet.node.put_report(NODE.sign(presence_report(generation=1, sent_s=sent_s)))
    fleet.put_class(
        class_result(contributors=(Contributor("n1", "nvme-ACME_X1_S123_1"),)),
        noted=(Noted("odd", "n1", "nvme-ACME_X1_S123_1", "read: 40 % slower"), Noted("odd", "n2", "other", "no")),
    )
    assert run(conf, "explain", "n1", file=password) == Exit.OK
    assert capsys.readouterr().out == (
        "n1 in rack-7\n"
        "\n"
        "nvme-ACME_X1_S123_1\n"
        "  hardware: ACME X1, firmware 1.0, 3.84 TB, xfs\n"
        f"  class:    {CLASS}, generation 1\n"
        "            read: blocks of 128K, depth 4, 1 thread, overlap, batch submit\n"
        "            combined: blocks of 128K, depth 4, 1 thread, overlap, batch submit\n"
        "  profile:  measured, generation 1; reported 2 h ago\n"
        "  sweep:    read 6.00 GB/s; 10 min ago; counts in generation 1\n"
        f"  order:    wait: has generation 1 of class {CLASS}\n"
        "  ! odd: read: 40 % slower\n"
    )


def test_a_sweep_that_does_not_count_and_a_check_are_told(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = "nvme-ACME_X1_S123_1"
    fleet.node.put_report(NODE.sign(sweep_report()))
    check = replace(sweep_report(), basis="check", generation=1, confirms=False, at_s=NOW_S + 600)
    fleet.node.put_report(NODE.sign(check))
    fleet.put_class(class_result(contributors=(), rejected=(Rejected("n1", drive, "read: 30 % below the median"),)))
    assert run(conf, "explain", "n1", file=password) == Exit.OK
    out = capsys.readouterr().out
    assert "  sweep:    read 6.00 GB/s; 10 min ago; does not count: read: 30 % below the median\n" in out
    assert "  check:    does not confirm generation 1; read 6.00 GB/s; just now\n" in out
    assert run(conf, "explain", "n1", "--json", file=password) == Exit.OK
    (found,) = json.loads(capsys.readouterr().out)["drives"]
    assert found["vote"] == "does not count: read: 30 % below the median"
    assert set(found["reports"]) == {"sweep", "check"}


def test_a_drive_that_a_rollout_has_not_reached_has_the_generation_before(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.node.put_report(NODE.sign(presence_report(state="provisional")))
    fleet.put_class(class_result(1, POINTS[1]), class_result(2, POINTS[2]), reach=0, before=1)
    assert run(conf, "explain", "n1", file=password) == Exit.OK
    assert f"  order:    check: checking generation 1 of class {CLASS}\n" in capsys.readouterr().out
    fleet.node.put_report(NODE.sign(presence_report(generation=1)))
    assert run(conf, "explain", "n1", file=password) == Exit.OK
    assert "  order:    wait: waiting for this node's turn: generation 2 reaches 0 % of" in capsys.readouterr().out


def test_a_report_of_another_key_is_told_and_not_used(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.node.put_report(STRANGER.sign(sweep_report()))
    assert run(conf, "explain", "n1", file=password) == Exit.OK
    out = capsys.readouterr().out
    assert out == (
        "n1\n\n! nvme-ACME_X1_S123_1: the sweep report is ignored: signed report: signed by no trusted key; it is"
        " ignored\n"
    )


def test_a_drive_of_a_new_class_waits_for_a_plan(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.node.put_report(NODE.sign(presence_report(state="provisional")))
    slot = keys.Slot("claim", CLASS, 1)
    assert fleet.node.claim(slot, "n1", 60)
    assert run(conf, "explain", "n1", file=password) == Exit.OK
    out = capsys.readouterr().out
    assert f"  class:    {CLASS}, no result yet\n" in out
    assert f"waiting for class {CLASS}: it has no plan yet; the node has claim 1 of the class\n" in out


@pytest.mark.usefixtures("fleet")
def test_a_node_without_reports_is_named(conf: Path, password: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(conf, "explain", "n2", file=password) == Exit.TARGET
    assert "node n2: has no reports; look at journalctl -u aio-tuned-fleet" in capsys.readouterr().err


@pytest.mark.usefixtures("fleet")
def test_reports_need_the_keys_of_nodes(conf: Path, password: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text(conf.read_text().replace("node_keys", "#node_keys"))
    assert run(conf, "explain", "n1", file=password) == Exit.CONFIG
    assert "[fleet] node_keys: not set, and reports of nodes cannot be checked" in capsys.readouterr().err


# --- pin, unpin, rollback --------------------------------------------------------------------------------


def test_a_pin_changes_the_given_parameters_of_the_present_settings(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.put_class()
    depth = SMALL_GRID.queue_depth[-1]
    words = ("--read", f"queue_depth={depth},overlap_events=false", "--combined", "block_size=128K", "--why", "latency")
    assert run(conf, "pin", CLASS, *words, file=password) == Exit.OK
    assert fleet.operator.get_pin(CLASS) == class_pin(
        read=replace(POINTS[0], queue_depth=depth, overlap_events=False),
        write=None,
        combined=POINTS[0],
        by="alice",
        why="latency",
        at_s=NOW_S + 600,
    )
    out = capsys.readouterr().out
    assert out.startswith(f"class {CLASS}: pinned\n  read:     blocks of 128K, depth {depth}, 1 thread, sequential,")
    assert f"to end it: aio-tuned fleet unpin {CLASS}\n" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("--read", "queue_depth=7", "--why", "x"),
            Exit.USAGE,
            "--read: queue_depth 7 is not of the class's grid; give",
        ),
        (("--write", "queue_depth=8", "--why", "x"), Exit.USAGE, "--write: the class has no setting of write; leave"),
        (("--why", "x"), Exit.USAGE, "fleet pin: no setting; pass --read, --write or --combined"),
        (("--read", "queue_depth=4", "--why", "x" * 201), Exit.DATA, "is not a text of at most 200"),
    ],
)
def test_a_pin_that_nodes_would_refuse_is_refused(
    words: tuple[str, ...],
    code: int,
    said: str,
    fleet: Fleet,
    conf: Path,
    password: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fleet.put_class()
    assert run(conf, "pin", CLASS, *words, file=password) == code
    assert said in capsys.readouterr().err
    assert fleet.operator.get_pin(CLASS) is None


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("queue_depth", "'queue_depth' is not KEY=VALUE with KEY one of block_size, queue_depth"),
        ("depth=8", "'depth=8' is not KEY=VALUE"),
        ("queue_depth=8,queue_depth=9", "'queue_depth=9' is not KEY=VALUE"),
        ("block_size=1000", "block_size: 1000 is not a multiple of 512 bytes"),
        ("overlap_events=yes", 'overlap_events: "yes" is not true or false'),
        ("", "'' is not KEY=VALUE"),
    ],
)
def test_what_is_no_setting_is_wrong_usage(setting: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["fleet", "pin", CLASS, "--read", setting, "--why", "x"])
    assert left.value.code == Exit.USAGE
    assert f"aio-tuned fleet pin: argument --read: {said}" in capsys.readouterr().err


def test_a_class_without_result_cannot_be_pinned(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.coordinator.put_status(COORDINATOR.sign(class_status(generation=0)))
    assert run(conf, "pin", CLASS, "--read", "queue_depth=8", "--why", "x", file=password) == Exit.TARGET
    assert f"class {CLASS}: has no result yet" in capsys.readouterr().err


def test_unpin_removes_the_pin_and_tells_if_there_is_none(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.put_class()
    fleet.operator.put_pin(class_pin())
    assert run(conf, "unpin", CLASS, file=password) == Exit.OK
    assert fleet.operator.get_pin(CLASS) is None
    assert run(conf, "unpin", CLASS, file=password) == Exit.TARGET
    assert f"class {CLASS}: not pinned" in capsys.readouterr().err


def test_rollback_pins_the_last_generation_with_other_settings(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.put_class(class_result(1, POINTS[1]), class_result(2, POINTS[2]), class_result(3, POINTS[2]))
    assert run(conf, "rollback", CLASS, file=password) == Exit.OK
    pinned = fleet.operator.get_pin(CLASS)
    assert pinned is not None
    assert (pinned.read, pinned.write, pinned.combined) == (POINTS[1], None, POINTS[1])
    assert (pinned.restores, pinned.why, pinned.by) == (1, "rollback from generation 3 to 1", "alice")
    assert f"class {CLASS}: pinned as of generation 1\n" in capsys.readouterr().out


def test_a_first_generation_has_none_to_go_back_to(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.put_class()
    assert run(conf, "rollback", CLASS, file=password) == Exit.TARGET
    assert f"class {CLASS}: no older generation with other settings is kept" in capsys.readouterr().err
    assert fleet.operator.get_pin(CLASS) is None


# --- bundles ---------------------------------------------------------------------------------------------


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """The operator's folder of bundles."""
    return tmp_path / "profiles/models.d"


def test_what_is_exported_can_be_imported_and_the_daemon_reads_it(
    fleet: Fleet, conf: Path, password: Path, places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.put_class()
    fleet.put_class(class_result(2, POINTS[2], hardware_class=OTHER_CLASS))
    file = conf.parent / "site-a.bundle"
    assert run(conf, "export", file, file=password) == Exit.OK
    told = f"class {CLASS}: generation 1\nclass {OTHER_CLASS}: generation 2\n"
    assert capsys.readouterr().out == told
    conf.write_text(conf.read_text().replace("enabled = true", "enabled = false"))
    assert run(conf, "import", file) == Exit.OK
    assert capsys.readouterr().out == f"{told}{places}/site-a.json; to use it now: systemctl reload aio-tuned\n"
    found, ignored = bundle.load_folders([places])
    assert (found[OTHER_CLASS].generation, ignored) == (2, ())
    assert set(found) == {CLASS, OTHER_CLASS}


def test_one_class_may_be_exported_to_standard_output(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.put_class()
    fleet.put_class(class_result(hardware_class=OTHER_CLASS))
    words = ["--config", str(conf), "fleet", "export", "--password-file", str(password), "-", "0123f"]
    assert main(words) == Exit.OK
    (found,) = bundle.load(capsys.readouterr().out, KEYRING)
    assert found.hardware_class == OTHER_CLASS


def test_an_export_without_a_result_is_an_error(
    fleet: Fleet, conf: Path, password: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = conf.parent / "out.json"
    assert run(conf, "export", file, file=password) == Exit.TARGET
    assert "the fleet has no results yet" in capsys.readouterr().err
    fleet.coordinator.put_status(COORDINATOR.sign(class_status(generation=0)))
    assert run(conf, "export", file, CLASS, file=password) == Exit.TARGET
    assert f"class {CLASS}: has no result yet; wait for its sweeps" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (bundle.dump([STRANGER.sign(class_result())]), "signed by no trusted key"),
        (bundle.dump([COORDINATOR.sign(class_result())]).replace('"generation":1', '"generation":9'), "signed by no"),
        ("[]", "not an object"),
        ("", "has no result of a class; export it again"),
        (b"\xff", "not UTF-8; it is no file of aio-tuned fleet export"),
    ],
    ids=["stranger", "changed", "list", "empty", "binary"],
)
def test_what_is_not_signed_is_not_imported(
    text: str | bytes, said: str, conf: Path, places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = conf.parent / "in.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert run(conf, "import", file) == Exit.DATA
    err = capsys.readouterr().err
    assert err.startswith(f"aio-tuned: {file}: ")
    assert said in err
    assert not places.exists()


def test_an_import_needs_the_keys_of_coordinators(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write_text("")
    assert run(conf, "import", conf) == Exit.CONFIG
    assert "[fleet] trusted_keys: not set, and signatures cannot be checked" in capsys.readouterr().err


def test_a_bundle_that_is_missing_is_named(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(conf, "import", conf.parent / "none") == Exit.DATA
    assert "none: cannot be read: No such file or directory" in capsys.readouterr().err


# --- keys ------------------------------------------------------------------------------------------------


def test_a_key_is_its_owners_alone_and_the_public_one_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "signing-key"
    assert main(["fleet", "keygen", str(file)]) == Exit.OK
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert capsys.readouterr().out == SigningKey.from_pem(file.read_bytes(), "key").public + "\n"


def test_a_key_that_is_there_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "signing-key"
    file.write_text("in use")
    assert main(["fleet", "keygen", str(file)]) == Exit.PUBLISH
    assert capsys.readouterr().err == (
        f"aio-tuned: {file}: exists already, and may be a key in use; pass another file\n"
    )
    assert file.read_text() == "in use"


def test_a_key_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert main(["fleet", "keygen", str(tmp_path / "link")]) == Exit.PUBLISH
    assert not (tmp_path / "elsewhere").exists()


def test_the_name_of_the_caller_is_the_default_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "bob")
    assert login.user(argparse.Namespace(user=None)) == "bob"
    assert login.user(argparse.Namespace(user="alice")) == "alice"
