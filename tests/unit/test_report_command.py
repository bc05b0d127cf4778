from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned import archive, cli
from aio_tuned.errors import Exit
from unit.sweeps import stored

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with one drive that was swept twice; the current folder is empty."""
    file, state = tmp_path / "aio-tuned.conf", tmp_path / "state"
    file.write_text(f'[paths]\nprofiles = "{tmp_path}/etc"\nstate = "{state}"\n')
    state.mkdir()
    for seed, day in ((1, "24"), (2, "25")):
        kept = stored(seed=seed, measured_at=f"2025-11-{day}T16:00:00+00:00")
        samples = "".join(json.dumps(asdict(sample)) + "\n" for sample in kept.samples)
        archive.keep(state, kept.profile, samples)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return file


def report(config: Path, *arguments: str) -> int:
    return cli.main(["--config", str(config), "report", *arguments])


def test_the_last_sweep_goes_into_a_file_of_its_name(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(config, "970-evo-plus") == Exit.OK
    (file,) = config.parent.joinpath("here").iterdir()
    assert file.name == "970-evo-plus-20251125T160000Z.html"
    assert capsys.readouterr().out == f"{file.name}\n"
    page = file.read_text()
    assert page.count("<svg") == 8
    assert "2025-11-25 16:00:00 UTC" in page


def test_an_earlier_sweep_can_be_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(config, "970-evo-plus@20251124", "-o", "-") == Exit.OK
    assert "2025-11-24 16:00:00 UTC" in capsys.readouterr().out
    assert list(config.parent.joinpath("here").iterdir()) == []


def test_sweeps_are_found_where_tune_has_put_them(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = str(config.parent / "state")
    config.write_text("")
    assert report(config, "970-evo-plus", "--out", state, "-o", "-") == Exit.OK
    assert "2025-11-25 16:00:00 UTC" in capsys.readouterr().out


def test_two_sweeps_are_compared(config: Path) -> None:
    assert report(config, "--compare", "970-evo-plus@20251124", "970-evo-plus") == Exit.OK
    (file,) = config.parent.joinpath("here").iterdir()
    assert file.name == "970-evo-plus-20251124T160000Z-970-evo-plus-20251125T160000Z.html"
    assert file.read_text().count("<svg") == 6


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), Exit.USAGE, "report takes one TARGET, or --compare A B"),
        (("a", "--compare", "b", "c"), Exit.USAGE, "report takes one TARGET"),
        (("nobody",), Exit.TARGET, "nobody"),
        (("970-evo-plus@1999",), Exit.TARGET, "1999"),
        (("970-evo-plus", "-o", "/dev/null"), Exit.USAGE, "not a regular file"),
        (("970-evo-plus", "-o", "missing/page.html"), Exit.PUBLISH, "missing/page.html: cannot be written"),
    ],
)
def test_what_cannot_be(
    config: Path, arguments: tuple[str, ...], code: Exit, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(config, *arguments) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert list(config.parent.joinpath("here").iterdir()) == []


def test_a_profile_that_was_never_measured_has_a_name_for_its_file() -> None:
    from aio_tuned.cli_report import _file_name
    from unit.builders import never_measured_profile

    kept = replace(stored(), profile=never_measured_profile())
    assert _file_name([kept]).endswith("-unmeasured.html")
