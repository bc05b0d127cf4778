"""systemd/: the unit is valid, hardened, and gives its reasons."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from aio_tuned.errors import Exit

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "aio-tuned.service"
RULES = SYSTEMD / "90-aio-tuned.rules"
# Of 100; systemd calls up to 3.0 of 10 "OK".
MAX_EXPOSURE = 30


def assignments(text: str) -> list[tuple[str, str, str]]:
    """Key, value and the line above of each setting."""
    lines = text.splitlines()
    return [
        (line.partition("=")[0], line.partition("=")[2], above)
        for above, line in zip(["", *lines], lines, strict=False)
        if line and line[0] not in "#["
    ]


def values(key: str) -> list[str]:
    return [value for name, value, _ in assignments(UNIT.read_text()) if name == key]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is there: what it starts is not installed here."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/usr/bin/aio-tuned", "/bin/true"))
    return path


def analyze(*words: str | Path) -> str:
    """What systemd-analyze says; it must end well."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_has_nothing_to_say_of_the_unit(unit: Path) -> None:
    assert analyze("verify", "--man=no", unit) == ""


def test_it_is_hardened(unit: Path) -> None:
    analyze("security", "--no-pager", "--offline=true", f"--threshold={MAX_EXPOSURE}", unit)


def test_the_gate_would_notice(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("CapabilityBoundingSet=CAP_DAC_OVERRIDE\n", ""))
    with pytest.raises(AssertionError, match="exposure"):
        test_it_is_hardened(unit)


def test_every_setting_has_its_reason_above_it() -> None:
    service = UNIT.read_text().partition("[Service]")[2].partition("[Install]")[0]
    without = [f"{key}={value}" for key, value, above in assignments(service) if not above.startswith("# ")]
    assert without == []


def test_what_does_not_mend_itself_is_not_tried_again() -> None:
    (codes,) = values("RestartPreventExitStatus")
    assert {int(code) for code in codes.split()} == {Exit.USAGE, Exit.CONFIG}


@pytest.mark.parametrize("key", ["PrivateDevices", "PrivateNetwork", "PrivateTmp", "ProtectHome", "ProcSubset", "User"])
def test_what_would_break_it_is_not_set(key: str) -> None:
    assert values(key) == []


def test_the_rule_is_valid() -> None:
    if subprocess.run(["udevadm", "verify", "--help"], capture_output=True, check=False).returncode:
        pytest.skip("needs udevadm verify (systemd 254); tests/vm tries the rule itself")
    done = subprocess.run(["udevadm", "verify", RULES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
