"""The table of docs/explanation/architecture.md has each package, and imports between packages follow its rule."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from unit.support.builders import PROJECT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = PROJECT / "daemon/aio_tuned"
DOCUMENT = (PROJECT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
# Any package may import these.
LEAVES = frozenset({"errors", "model", "formatting", "timeouts", "child_process", "extras", "trust"})
# What each package may import besides the leaves. Those of launch, integrations and fleet come later.
RULE: dict[str, frozenset[str]] = {
    package: frozenset(allowed.split())
    for package, allowed in {
        "model": "",
        "config": "",
        "journald": "",
        "helper": "",
        "search": "",
        "devices": "config",
        "profiles": "config devices",
        "storage": "profiles devices helper journald config",
        "reader": "profiles devices",
        "consumers": "reader",
        "sweep": "storage profiles devices search helper config",
        "report": "search profiles storage sweep helper reader consumers",
        "service": "config journald helper search devices profiles storage reader sweep consumers fleet.spool "
        "fleet.bundle fleet.hardware_class fleet.class_profile fleet.profile_report fleet.report fleet.consensus "
        "fleet.order fleet.draw fleet.wire",
        "integrations": "reader consumers",
        "launch": "reader consumers devices profiles config storage search.estimate service.write_ledger "
        "service.worker.throttle service.worker.throttle_rules",
        "fleet": "profiles config storage.atomic_file",
    }.items()
}
# A program may import all: the command line, and `python -m aio_tuned`.
PROGRAMS = frozenset({"cli", "__main__", "__init__"})
EMPTY = ("search", "devices", "profiles")
NUMPY = ("search", "report", "sweep", "service.worker")
LONGEST = 350
TOP_LEVEL = {
    "pyproject.toml", "daemon", "native", "systemd", "etc", "tests", "README.md", "Makefile", "CHANGELOG.md", "LICENSE",
    "docs",
}  # fmt: skip


class Import(NamedTuple):
    """One import of a module: "search.grid.points" of ours, or "numpy"; `runs` is false for types alone."""

    name: str
    ours: bool
    runs: bool


def name_of(path: Path) -> str:
    """`search.grid`; a package's own name for its __init__."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[Import]:
    """Every import in the file, those inside functions too."""
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), True)]
    while pending:
        node, runs = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            runs = False
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, ours=False, runs=runs) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            ours = module.split(".")[0] == "aio_tuned"
            for alias in node.names:
                yield Import(f"{module}.{alias.name}".removeprefix("aio_tuned."), ours=ours, runs=runs)
        pending.extend((child, runs) for child in ast.iter_child_nodes(node))


MODULES = sorted(ROOT.rglob("*.py"))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_what_its_package_may(path: Path) -> None:
    package = name_of(path).split(".")[0]
    if package in PROGRAMS or path.parent == ROOT:
        return
    allowed = RULE[package] | LEAVES | {package, "__version__"}
    strangers = {
        each.name for each in imports(path) if each.ours and not any(within(each.name, one) for one in allowed)
    }
    assert strangers == set()


def test_a_leaf_imports_only_leaves() -> None:
    for path in [*ROOT.glob("*.py"), *(ROOT / "model").glob("*.py")]:
        if path.stem != "__main__":
            found = {each.name.split(".")[0] for each in imports(path) if each.ours}
            assert found <= LEAVES | {"__version__"}, path.name


def test_the_packages_of_search_devices_and_profiles_load_nothing_by_themselves() -> None:
    for package in EMPTY:
        assert list(imports(ROOT / package / "__init__.py")) == []


def test_numpy_is_imported_only_where_it_may_be() -> None:
    users = {
        name_of(path)
        for path in MODULES
        if any(each.runs and each.name.split(".")[0] == "numpy" for each in imports(path))
    }
    assert users, "the test does not see imports"
    assert {user for user in users if not any(within(user, one) for one in NUMPY)} == set()
    assert "search.grid" not in users


def test_what_runs_imports_only_packages_that_an_installation_has() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for name, those in extras.items() if name != "dev" for each in those)]
    declared = {re.split(r"[^\w.-]", each)[0].replace("-", "_") for each in wanted}
    names = {"ruamel": "ruamel.yaml", "systemd": "systemd_python"}
    imported = {each.name.split(".")[0] for path in MODULES for each in imports(path) if each.runs and not each.ours}
    assert {names.get(name, name) for name in imported - set(sys.stdlib_module_names)} == declared


def module_of(name: str) -> str:
    """The module that an import of ours loads: `search.grid` for `search.grid.points`."""
    parts = name.split(".")
    while parts and not ((ROOT / "/".join(parts)).with_suffix(".py").exists() or (ROOT.joinpath(*parts)).is_dir()):
        parts.pop()
    return ".".join(parts)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name_of(path): {module_of(each.name) for each in imports(path) if each.ours} - {""} for path in MODULES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            for other in sorted(graph.get(name, ())):
                if other != name:
                    visit(other, (*way, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_the_table_of_the_document_has_every_package_and_leaf() -> None:
    table = DOCUMENT[DOCUMENT.index("## The packages") : DOCUMENT.index("## The rule")]
    named = re.findall(r"^\| `([\w/]+?)(?:\.py|/)?`", table, flags=re.MULTILINE)
    packages = {str(path.parent.relative_to(ROOT)) for path in ROOT.rglob("*.py") if path.parent != ROOT}
    leaves = {path.stem for path in ROOT.glob("*.py") if not path.stem.startswith("__")}
    assert sorted(named) == sorted(packages | leaves)


def test_the_rule_of_the_document_is_the_one_held_here() -> None:
    table = DOCUMENT[DOCUMENT.index("## The rule") : DOCUMENT.index("## One event")]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", table, flags=re.MULTILINE)
    assert {package: frozenset(re.findall(r"`([\w.]+)`", allowed)) for package, allowed in rows} == RULE


def test_no_file_is_two_nouns_long() -> None:
    sources = [*MODULES, *(PROJECT / "native/src").rglob("*.[ch]")]
    long = {
        path.name: count for path in sources if (count := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST
    }
    assert long == {}


# What the daemon's parts must not import, so that an event goes one way through them.
ONE_WAY = {
    "service.inventory": ("service.publisher", "service.scheduler", "service.operator", "service.supervisor"),
    "service.publisher": ("service.inventory", "service.scheduler", "service.operator", "service.supervisor"),
    "service.scheduler": ("service.inventory", "service.operator", "service.supervisor"),
    "service.operator": ("service.publisher", "service.supervisor"),
}


@pytest.mark.parametrize("name", ONE_WAY)
def test_an_event_goes_one_way_through_the_daemon(name: str) -> None:
    path = (ROOT / name.replace(".", "/")).with_suffix(".py")
    # Of types alone too, but for what an annotation names.
    runs = {module_of(each.name) for each in imports(path) if each.ours and each.runs}
    assert runs.isdisjoint(ONE_WAY[name])


def test_the_supervisor_alone_steps_the_state_machine() -> None:
    callers = [
        name_of(path)
        for path in MODULES
        if name_of(path) != "service.state_machine"
        and re.search(r"\bstate_machine\.step\(|state_machine import .*\bstep\b", path.read_text(encoding="utf-8"))
    ]
    assert callers == ["service.supervisor"]


def test_what_to_publish_is_decided_in_one_place() -> None:
    callers = [
        name_of(path)
        for path in MODULES
        if re.search(r"\bdecision\.decide\(|profiles\.decision import .*\bdecide\b", path.read_text(encoding="utf-8"))
    ]
    assert callers == ["service.publisher"]


def test_the_top_level_holds_what_belongs_there() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
    )
    if listed.returncode:
        pytest.skip("not a git checkout: the files of the project are not known")
    found = {name.partition("/")[0] for name in listed.stdout.split("\0") if name}
    assert {name for name in found if not name.startswith(".")} == TOP_LEVEL
