"""systemd/: the units are valid, hardened, and give their reasons."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from aio_tuned.errors import Exit
from aio_tuned.fleet import access
from aio_tuned.fleet.spool import Spool

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "aio-tuned.service"
RULES = SYSTEMD / "90-aio-tuned.rules"
FLEET = (SYSTEMD / "aio-tuned-fleet.service", SYSTEMD / "aio-tuned-fleet-coordinator.service")
# Of 100; systemd calls up to 3.0 of 10 "OK". The programs of a fleet are not root.
MAX_EXPOSURE = 30
MAX_EXPOSURE_OF_FLEET = 25


def assignments(text: str) -> list[tuple[str, str, str]]:
    """Key, value and the line above of each setting."""
    lines = text.splitlines()
    return [
        (line.partition("=")[0], line.partition("=")[2], above)
        for above, line in zip(["", *lines], lines, strict=False)
        if line and line[0] not in "#["
    ]


def values(key: str, unit: Path = UNIT) -> list[str]:
    return [value for name, value, _ in assignments(unit.read_text()) if name == key]


def with_a_program(source: Path, folder: Path) -> Path:
    """The unit with a program that is there: what it starts is not installed here."""
    path = folder / source.name
    path.write_text(source.read_text().replace("/usr/bin/aio-tuned", "/bin/true"))
    return path


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    return with_a_program(UNIT, tmp_path)


def analyze(*words: str | Path) -> str:
    """What systemd-analyze says; it must end well."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("source", [UNIT, *FLEET], ids=lambda path: path.stem)
def test_systemd_has_nothing_to_say_of_the_unit(source: Path, tmp_path: Path) -> None:
    assert analyze("verify", "--man=no", with_a_program(source, tmp_path)) == ""


def test_it_is_hardened(unit: Path) -> None:
    analyze("security", "--no-pager", "--offline=true", f"--threshold={MAX_EXPOSURE}", unit)


def test_the_gate_would_notice(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("CapabilityBoundingSet=CAP_DAC_OVERRIDE\n", ""))
    with pytest.raises(AssertionError, match="exposure"):
        test_it_is_hardened(unit)


@pytest.mark.parametrize("source", FLEET, ids=lambda path: path.stem)
def test_the_programs_of_a_fleet_are_hardened(source: Path, tmp_path: Path) -> None:
    found = with_a_program(source, tmp_path)
    analyze("security", "--no-pager", "--offline=true", f"--threshold={MAX_EXPOSURE_OF_FLEET}", found)


@pytest.mark.parametrize("source", [UNIT, *FLEET], ids=lambda path: path.stem)
def test_every_setting_has_its_reason_above_it(source: Path) -> None:
    service = source.read_text().partition("[Service]")[2].partition("[Install]")[0]
    without = [f"{key}={value}" for key, value, above in assignments(service) if not above.startswith("# ")]
    assert without == []


@pytest.mark.parametrize("source", [UNIT, *FLEET], ids=lambda path: path.stem)
def test_what_does_not_mend_itself_is_not_tried_again(source: Path) -> None:
    (codes,) = values("RestartPreventExitStatus", source)
    assert {int(code) for code in codes.split()} == {Exit.USAGE, Exit.CONFIG}


@pytest.mark.parametrize("key", ["PrivateDevices", "PrivateNetwork", "PrivateTmp", "ProtectHome", "ProcSubset", "User"])
def test_what_would_break_it_is_not_set(key: str) -> None:
    assert values(key) == []


def test_the_daemon_has_no_network() -> None:
    assert values("RestrictAddressFamilies") == ["AF_UNIX AF_NETLINK"]
    assert values("IPAddressDeny") == ["any"]


def test_the_agent_may_write_its_orders_and_nothing_else() -> None:
    agent, coordinator = FLEET
    assert values("ReadWritePaths", agent) == ["/var/lib/aio-tuned/fleet/in"]
    assert values("ReadWritePaths", coordinator) == []
    for unit in FLEET:
        assert values("ProtectSystem", unit) == ["strict"]
        assert values("StateDirectory", unit) == values("ConfigurationDirectory", unit) == []


def test_the_programs_of_a_fleet_are_not_root_and_not_each_other() -> None:
    agent, coordinator = FLEET
    assert values("User", agent) == ["aio-tuned-fleet"]
    assert values("DynamicUser", coordinator) == ["yes"]
    for unit in FLEET:
        assert values("CapabilityBoundingSet", unit) == values("AmbientCapabilities", unit) == [""]
        assert values("SetCredential", unit) == []  # every user can read a unit
    files = [{value.partition(":")[2] for value in values("LoadCredential", unit)} for unit in FLEET]
    assert files[0].isdisjoint(files[1])


@pytest.mark.parametrize("source", FLEET, ids=lambda path: path.stem)
def test_the_credentials_are_those_that_the_programs_read(source: Path) -> None:
    assert [value.partition(":")[0] for value in values("LoadCredential", source)] == [
        access.PASSWORD,
        access.SIGNING_KEY,
    ]


def test_the_folders_of_the_spool_belong_to_those_who_write_them(tmp_path: Path) -> None:
    """systemd makes them in a folder that stands for /, with the user of the agent."""
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("needs systemd-sysusers (apt-get install systemd)")
    (tmp_path / "etc").mkdir()
    for command, kind in ((["systemd-sysusers"], "sysusers"), (["systemd-tmpfiles", "--create"], "tmpfiles")):
        text = (SYSTEMD / f"aio-tuned.{kind}").read_text()
        done = subprocess.run(
            [*command, f"--root={tmp_path}", "-"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    user = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if "fleet" in line).split(":")
    assert (user[0], user[6]) == ("aio-tuned-fleet", "/usr/sbin/nologin")
    made = Spool(tmp_path / "var/lib/aio-tuned")
    assert (made.out.stat().st_uid, made.inn.stat().st_uid) == (0, int(user[2]))
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (made.out, made.inn, made.out.parent)} == {0o755}
    assert stat.S_IMODE((tmp_path / "etc/aio-tuned/fleet").stat().st_mode) == 0o700


def test_the_rule_is_valid() -> None:
    if subprocess.run(["udevadm", "verify", "--help"], capture_output=True, check=False).returncode:
        pytest.skip("needs udevadm verify (systemd 254); tests/vm tries the rule itself")
    done = subprocess.run(["udevadm", "verify", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
