"""The rules of the tiers: by themselves, and as pytest runs them in a project of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tiers import NEEDS, TIERS, Tally, complaints, in_words, selected_tiers, tallies, tier_of, unmet

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parents[2]
EVERYTHING = {need.sign for needs in NEEDS.values() for need in needs}


# --- by themselves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_runs_where_everything_is(tier: str) -> None:
    assert unmet(tier, EVERYTHING.__contains__) == ()


def test_the_unit_tier_needs_nothing() -> None:
    assert unmet("unit", set[str]().__contains__) == ()


@pytest.mark.parametrize("tier", ["native", "daemon", "vm"])
def test_what_is_missing_is_named_and_how_to_get_it(tier: str) -> None:
    for need in NEEDS[tier]:
        assert unmet(tier, (EVERYTHING - {need.sign}).__contains__) == (need,)
        assert in_words([need]) == f"needs {need.what} ({need.get})"


@pytest.mark.parametrize(
    ("path", "tier"),
    [
        ("tests/unit/test_x.py::test_y[tests/vm]", "unit"),
        ("tests/native", "native"),
        ("tests/bench/bench_x.py", None),
        ("tests/conftest.py", None),
        ("native/tests/x.py", None),
        ("", None),
    ],
)
def test_the_folder_is_the_tier(path: str, tier: str | None) -> None:
    assert tier_of(path) == tier


@pytest.mark.parametrize(
    ("named", "places", "tiers"),
    [
        ([], [], TIERS),
        (["vm", "unit"], [], ("unit", "vm")),
        ([], ["/p/tests"], TIERS),
        ([], ["/p"], TIERS),
        ([], ["/p/tests/native/test_x.py", "/p/tests/unit"], ("unit", "native")),
        ([], ["/p/tests/bench"], ()),
        (["daemon"], ["/p/tests"], ("daemon",)),
    ],
)
def test_which_tiers_a_run_is_about(named: list[str], places: list[str], tiers: tuple[str, ...]) -> None:
    assert selected_tiers(named, [Path(place) for place in places], Path("/p")) == tiers


def test_outcomes_are_counted_by_tier() -> None:
    outcomes = {
        "tests/unit/a.py::x": "passed",
        "tests/unit/a.py::y": "failed",
        "tests/vm/b.py::z": "skipped",
        "tests/bench/c.py::w": "passed",
    }
    assert tallies(outcomes, ["unit", "native", "vm"]) == {
        "unit": Tally(passed=1, failed=1),
        "native": Tally(),
        "vm": Tally(skipped=1),
    }


def test_ci_is_content_when_every_tier_ran() -> None:
    counted = {"unit": Tally(passed=1), "native": Tally(passed=1, skipped=3), "daemon": Tally(failed=1)}
    assert complaints(counted, {}, frozenset()) == []


@pytest.mark.parametrize(
    ("tally", "lacking", "empty", "complaint"),
    [
        (Tally(skipped=2), {}, frozenset(), "no test of tier {} was executed"),
        (Tally(), {}, frozenset(), "no test of tier {} was executed"),
        (Tally(skipped=2), {"unit": "x", "vm": "x"}, frozenset(), "tier {} was skipped: x"),
    ],
)
@pytest.mark.parametrize("tier", ["unit", "vm"])
def test_ci_complains_of_a_tier_left_out(
    tier: str, tally: Tally, lacking: dict[str, str], empty: frozenset[str], complaint: str
) -> None:
    assert complaints({tier: tally}, lacking, empty) == [complaint.format(tier)]


def test_ci_does_without_the_consumers_packages() -> None:
    lacking = {"consumers": "x"}
    assert complaints({"unit": Tally(passed=1), "consumers": Tally(skipped=9)}, lacking, frozenset()) == []


def test_ci_complains_of_an_empty_tier_that_should_not_be() -> None:
    assert complaints({"daemon": Tally()}, {}, frozenset({"daemon"})) == ["tier daemon has no tests"]


# --- as pytest runs them ---------------------------------------------------------------------------------


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with our rules and a passing unit test; no tier needs anything but vm, which lacks QEMU."""
    monkeypatch.delenv("CI", raising=False)
    shutil.copy(PROJECT / "pyproject.toml", pytester.path)
    tests = pytester.mkdir("tests")
    for name in ("conftest.py", "storage.py", "tiers.py"):
        shutil.copy(PROJECT / "tests" / name, tests)
    with (tests / "tiers.py").open("a") as rules:
        rules.write('NEEDS = {tier: () for tier in TIERS}\nNEEDS["vm"] = (Need("/no/qemu", "QEMU", "get it"),)\n')
    add_test(pytester, "unit", "assert True")
    return pytester


def add_test(project: pytest.Pytester, tier: str, body: str) -> None:
    folder = project.path / "tests" / tier
    folder.mkdir(exist_ok=True)
    (folder / f"test_{tier}.py").write_text(f"import pytest\ndef test_it() -> None:\n    {body}\n")


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-p", "no:hypothesispytest", *arguments)


def test_the_table_tells_each_tier_and_the_last_line_is_plain(project: pytest.Pytester) -> None:
    add_test(project, "native", "assert False")
    add_test(project, "vm", "assert True")
    result = run(project)
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


def test_ci_fails_when_tiers_are_missing_and_says_which(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_test(project, "vm", "assert True")
    assert run(project).ret == 0
    monkeypatch.setenv("CI", "true")
    result = run(project)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "!!! CI: tier native has no tests",
            "!!! CI: tier daemon has no tests",
            "!!! CI: tier vm was skipped: needs QEMU (get it)",
        ]
    )


def test_ci_passes_when_every_tier_ran(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    with (project.path / "tests" / "tiers.py").open("a") as rules:
        rules.write('NEEDS["vm"] = ()\n')
    for tier in ("native", "daemon", "vm"):
        add_test(project, tier, "assert True")
    monkeypatch.setenv("CI", "true")
    result = run(project)
    assert result.ret == 0
    assert result.outlines[-1] == "4 passed, 0 failed, 0 skipped"


def test_ci_fails_when_every_test_of_a_tier_skips_itself(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_test(project, "unit", "pytest.skip('not today')")
    monkeypatch.setenv("CI", "true")
    result = run(project, "--tier=unit")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["!!! CI: no test of tier unit was executed"])


def test_one_tier_alone_is_collected_and_judged_alone(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_test(project, "native", "raise SystemError")
    (project.path / "tests" / "native" / "test_broken.py").write_text("this does not even compile")
    monkeypatch.setenv("CI", "true")
    result = run(project, "--tier=unit")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("native*")


def test_a_tier_without_tests_is_no_failure_by_itself(project: pytest.Pytester) -> None:
    result = run(project, "--tier=vm")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["vm *no tests yet"])


def test_a_file_that_cannot_be_imported_is_a_failure(project: pytest.Pytester) -> None:
    (project.path / "tests" / "unit" / "test_broken.py").write_text("import no_such_module")
    result = run(project)
    assert result.ret == 2
    assert result.outlines[-1] == "0 passed, 1 failed, 0 skipped"


def test_an_expected_failure_does_not_count_as_passed(project: pytest.Pytester) -> None:
    (project.path / "tests" / "unit" / "test_unit.py").write_text(
        "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_it(): assert False\n"
    )
    result = run(project)
    assert result.ret == 0
    assert result.outlines[-1] == "0 passed, 0 failed, 1 skipped"


def test_a_test_that_passes_but_breaks_in_teardown_counts_once(project: pytest.Pytester) -> None:
    (project.path / "tests" / "unit" / "test_unit.py").write_text(
        "import pytest\n@pytest.fixture\ndef bad():\n    yield\n    1 / 0\ndef test_it(bad): pass\n"
    )
    result = run(project)
    assert result.ret == 1
    assert result.outlines[-1] == "0 passed, 1 failed, 0 skipped"
