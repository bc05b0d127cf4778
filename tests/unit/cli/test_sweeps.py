from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from aio_tuned.cli import main
from aio_tuned.errors import Exit
from aio_tuned.storage import sweep_archive
from unit.support.limits import files_no_larger_than
from unit.support.sweeps import stored


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with one drive that was swept twice; the current folder is empty."""
    file, state = tmp_path / "aio-tuned.conf", tmp_path / "state"
    file.write_text(f'[paths]\nprofiles = "{tmp_path}/etc"\nstate = "{state}"\n')
    state.mkdir()
    for seed, day in ((1, "24"), (2, "25")):
        kept = stored(seed=seed, measured_at=f"2025-11-{day}T16:00:00+00:00")
        samples = "".join(json.dumps(asdict(sample)) + "\n" for sample in kept.samples)
        sweep_archive.keep(state, kept.profile, samples)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return file


def report(config: Path, *arguments: str) -> int:
    return main.main(["--config", str(config), "report", *arguments])


def test_the_last_sweep_goes_into_a_file_of_its_name(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(config, "970-evo-plus") == Exit.OK
    (file,) = config.parent.joinpath("here").iterdir()
    assert file.name == "970-evo-plus-20251125T160000Z.html"
    assert capsys.readouterr().out == f"{file.name}\n"
    page = file.read_text()
    assert page.count("<svg") == 9
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
        ((), Exit.USAGE, "report: give one TARGET, or --compare A B"),
        (("a", "--compare", "b", "c"), Exit.USAGE, "report: give one TARGET"),
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


# Path.exists() and its like raise for such a name, as they do where a folder may not be searched.
LONG = "x" * 300


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (f"report {LONG}", Exit.TARGET, "neither a path nor a drive"),
        (f"report {LONG}.toml", Exit.TARGET, "neither a path nor a drive"),
        (f"report 970-evo-plus -o {LONG}", Exit.PUBLISH, "cannot be written: File name too long"),
        (f"report 970-evo-plus --out {LONG}", Exit.TARGET, "neither a path nor a drive"),
        (f"history {LONG}", Exit.TARGET, "neither a path nor a drive"),
        (f"history {LONG}.toml", Exit.TARGET, "neither a path nor a drive"),
        (f"history --out {LONG}", Exit.TARGET, "no finished sweeps"),
        (f"show {LONG}", Exit.TARGET, "neither a path nor a profile"),
        (f"show {LONG}.toml", Exit.TARGET, "neither a path nor a profile"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_looked_at_is_a_line(
    config: Path, words: str, code: Exit, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["--config", str(config), *words.split()]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_home_that_cannot_be_looked_at_is_done_without(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, f"/proc/{LONG}")
    assert report(config, "970-evo-plus") == Exit.OK


@pytest.mark.parametrize("words", ["report 970-evo-plus -o -", "report 970-evo-plus", "history", "history --json"])
def test_a_full_standard_output_is_a_line(
    config: Path, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main.main(["--config", str(config), *words.split()]) == Exit.PUBLISH
    assert capsys.readouterr().err == ("aio-tuned: standard output: cannot be written: No space left on device\n")


def test_a_page_has_the_mode_that_the_user_wants(config: Path) -> None:
    before = os.umask(0o027)
    try:
        assert report(config, "970-evo-plus", "-o", "page.html") == Exit.OK
        page = config.parent / "here/page.html"
        assert page.stat().st_mode & 0o777 == 0o640
        page.chmod(0o600)
        assert report(config, "970-evo-plus@20251124", "-o", "page.html") == Exit.OK
    finally:
        os.umask(before)
    assert page.stat().st_mode & 0o777 == 0o600
    assert "2025-11-24 16:00:00 UTC" in page.read_text()
    assert list(page.parent.iterdir()) == [page]


@pytest.mark.parametrize("there", [True, False])
def test_a_page_goes_where_a_link_leads(config: Path, there: bool) -> None:
    target, link = config.parent / "page.html", config.parent / "here/link.html"
    if there:
        target.write_text("old")
    link.symlink_to(target)
    assert report(config, "970-evo-plus", "-o", "link.html") == Exit.OK
    assert link.is_symlink()
    assert "2025-11-25 16:00:00 UTC" in target.read_text()


def test_a_page_that_cannot_be_written_leaves_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with files_no_larger_than(4096):
        assert report(config, "970-evo-plus", "-o", "page.html") == Exit.PUBLISH
    assert "page.html: cannot be written: File too large" in capsys.readouterr().err
    assert list(config.parent.joinpath("here").iterdir()) == []


def test_a_torn_sweep_is_passed_over_and_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torn = sweep_archive.list_sweeps(config.parent / "state", "970-evo-plus")[-1]
    torn.write_text("")
    assert report(config, "970-evo-plus") == Exit.OK
    said = capsys.readouterr()
    assert said.out == "970-evo-plus-20251124T160000Z.html\n"
    assert said.err.startswith(f"aio-tuned: {torn}: ")
    assert said.err.endswith("; showing the previous sweep\n")


def test_a_profile_that_was_never_measured_has_a_name_for_its_file() -> None:
    from aio_tuned.cli.sweeps import _file_name
    from unit.support.builders import never_measured_profile

    kept = replace(stored(), profile=never_measured_profile())
    assert _file_name([kept]).endswith("-unmeasured.html")
