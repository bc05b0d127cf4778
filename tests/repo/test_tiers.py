"""What a run says and how it is judged, as pytest runs the rules of the tiers in a project of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parents[2]
# Judged alike with workers and without.
WAYS = pytest.mark.parametrize("way", [("-n2",), ("-p", "no:xdist")], ids=" ".join)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with our rules and a passing unit test; no tier needs anything but vm, which lacks QEMU."""
    monkeypatch.delenv("CI", raising=False)
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(PROJECT / "pyproject.toml", pytester.path)
    tests = pytester.mkdir("tests")
    for name in ("busy.py", "conftest.py", "storage.py", "tiers.py", "udev.py"):
        shutil.copy(PROJECT / "tests" / name, tests)
    with (tests / "tiers.py").open("a") as rules:
        rules.write('NEEDS = {tier: () for tier in TIERS}\nNEEDS["vm"] = (Need("/no/qemu", "QEMU", "get it"),)\n')
    add_test(pytester, "unit", "assert True")
    return pytester


def add_test(project: pytest.Pytester, tier: str, body: str, mark: str = "") -> None:
    folder = project.path / "tests" / tier
    folder.mkdir(exist_ok=True)
    (folder / f"test_{tier}.py").write_text(f"import pytest\n{mark}\ndef test_it() -> None:\n    {body}\n")


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "no:hypothesispytest", *arguments)


@WAYS
def test_the_table_tells_each_tier_and_the_last_line_is_plain(project: pytest.Pytester, way: tuple[str, ...]) -> None:
    add_test(project, "native", "assert False")
    add_test(project, "vm", "assert True")
    result = run(project, *way)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "tier *passed *failed *skipped",
            "unit * 1 * 0 * 0",
            "native * 0 * 1 * 0",
            "daemon * 0 * 0 * 0 *no tests yet",
            "vm * 0 * 0 * 1 * SKIPPED: needs QEMU (get it)",
        ]
    )
    assert result.outlines[-1] == "1 passed, 1 failed, 1 skipped"


@WAYS
def test_ci_fails_when_tiers_are_missing_and_says_which(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, way: tuple[str, ...]
) -> None:
    add_test(project, "vm", "assert True")
    add_test(project, "repo", "pytest.skip('not today')")
    assert run(project, *way).ret == 0
    monkeypatch.setenv("CI", "true")
    result = run(project, *way)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "!!! CI: no test of tier repo was executed",
            "!!! CI: tier native has no tests",
            "!!! CI: tier daemon has no tests",
            "!!! CI: tier fleet has no tests",
            "!!! CI: tier vm was skipped: needs QEMU (get it)",
        ]
    )


def test_ci_passes_when_every_tier_but_the_consumers_ran(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (project.path / "tests" / "tiers.py").open("a") as rules:
        rules.write('NEEDS["vm"] = ()\nNEEDS["consumers"] = (Need("/no/packages", "packages", "get them"),)\n')
    for tier in ("repo", "native", "daemon", "fleet", "consumers", "vm"):
        add_test(project, tier, "assert True")
    monkeypatch.setenv("CI", "true")
    result = run(project, "-n2")
    assert result.ret == 0
    assert result.outlines[-1] == "6 passed, 0 failed, 1 skipped"


def test_one_tier_alone_is_collected_and_judged_alone(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "tests" / "native").mkdir()
    (project.path / "tests" / "native" / "test_broken.py").write_text("this does not even compile")
    monkeypatch.setenv("CI", "true")
    result = run(project, "--tier=unit")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("native*")


def test_long_tests_run_when_they_are_asked_for_and_no_others_then(project: pytest.Pytester) -> None:
    add_test(project, "native", "assert True", "@pytest.mark.long")
    assert run(project).outlines[-1] == "1 passed, 0 failed, 1 skipped"
    result = run(project, "--long", "-rA")
    assert result.outlines[-1] == "1 passed, 0 failed, 0 skipped"
    result.stdout.fnmatch_lines(["PASSED tests/native/*"])


def test_a_file_that_cannot_be_imported_is_a_failure(project: pytest.Pytester) -> None:
    (project.path / "tests" / "unit" / "test_broken.py").write_text("import no_such_module")
    result = run(project, "-n2")
    assert result.ret in (1, 2)
    assert result.outlines[-1].endswith(" passed, 1 failed, 0 skipped")


def test_a_test_that_passes_but_breaks_in_teardown_counts_once(project: pytest.Pytester) -> None:
    (project.path / "tests" / "unit" / "test_unit.py").write_text(
        "import pytest\n@pytest.fixture\ndef bad():\n    yield\n    1 / 0\ndef test_it(bad): pass\n"
    )
    result = run(project, "-n2")
    assert result.ret == 1
    assert result.outlines[-1] == "0 passed, 1 failed, 0 skipped"


def test_the_tests_of_a_group_run_in_one_worker(project: pytest.Pytester) -> None:
    """Those that have only one machine between them, whatever their files."""
    body = "import os, pathlib; (pathlib.Path(__file__).parents[2] / os.environ['PYTEST_XDIST_WORKER']).touch()"
    for tier in ("native", "daemon"):
        for number in range(3):
            add_test(project, tier, body)
            folder = project.path / "tests" / tier
            (folder / f"test_{tier}.py").rename(folder / f"test_{tier}_{number}.py")
    assert run(project, "-n2").ret == 0
    assert len(list(project.path.glob("gw*"))) == 1


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports a file by its name alone, and refuses a second one, but only in a run that collects both."""
    names = [path.name for path in (PROJECT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
