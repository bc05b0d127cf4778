"""The option --color, beside the variables that rich heeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aio_tuned.cli.main import main, parser
from aio_tuned.profiles import codec
from unit.support.builders import profile

if TYPE_CHECKING:
    from pathlib import Path

ESCAPE = "\x1b["


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("rich")
    (tmp_path / "nvme-x.toml").write_text(codec.render(profile()))
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.setenv(name, "")  # which is restored after the test, whatever the command sets
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize(
    ("choice", "variables", "colored"),
    [
        ("auto", {}, False),
        ("auto", {"FORCE_COLOR": "1", "TERM": "xterm"}, True),
        ("auto", {"FORCE_COLOR": "1", "TERM": "xterm", "NO_COLOR": "1"}, False),
        ("always", {}, True),
        ("always", {"NO_COLOR": "1", "TERM": "dumb"}, True),
        ("never", {}, False),
        ("never", {"FORCE_COLOR": "1", "TERM": "xterm"}, False),
    ],
)
def test_the_choice_overrides_the_variables(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    choice: str,
    variables: dict[str, str],
    colored: bool,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["--color", choice, "show", "--out", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert (ESCAPE in shown) is colored
    assert "6.51 GB/s" in shown


def test_another_choice_is_wrong_usage() -> None:
    with pytest.raises(SystemExit) as left:
        parser().parse_args(["--color", "sometimes", "status"])
    assert left.value.code == 64
