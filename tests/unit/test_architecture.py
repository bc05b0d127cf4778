"""docs/architecture.md: the map has every module, and its pure rooms are pure."""

from __future__ import annotations

import ast
import re
import sys
from typing import TYPE_CHECKING

import pytest

from unit.builders import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = PROJECT / "daemon/aio_tuned"
DOCUMENT = (PROJECT / "docs/architecture.md").read_text(encoding="utf-8")
MAP = DOCUMENT[DOCUMENT.index("## The map") : DOCUMENT.index("## Rules, and what holds them")]
FOLDERS = {"consumers": "Consumers", "consumers/merge": "Merging", "page": "The report's page"}
# What a pure room may use of the standard library: all that neither acts nor asks. Dice are seeded (plan.py, race.py).
HARMLESS = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "enum", "fnmatch", "functools", "hashlib", "html",
    "importlib", "itertools", "json", "math", "pathlib", "random", "re", "statistics", "sys", "tomllib", "types",
    "typing",
}  # fmt: skip
# rich formats what summary.py prints, prometheus_client what exposition.py renders.
PACKAGES = {"numpy", "prometheus_client", "rich", "toml", "tomli"}
# What is pure in an adapter: a line of the record is one of the protocol, which the helper's adapter parses; what the
# status file says stands beside the file.
PURE_PARTS_OF_ADAPTERS = {("record", "helper"), ("snapshot", "status")}


def rooms(heading: str) -> list[str]:
    """The modules of a part of the map, without .py."""
    parts = re.split(r"^### (.*)\n", MAP, flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
    return re.findall(r"`(\w+)\.py`", text)


def imports(name: str) -> Iterator[str]:
    """What importing and running the module may import: ours begin with a dot. Types for the checker do not count."""
    pending: list[ast.AST] = [ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module == "aio_tuned":
                yield from (f".{alias.name}" for alias in node.names)
            else:
                yield module.removeprefix("aio_tuned") if module.startswith("aio_tuned.") else module.partition(".")[0]
        pending.extend(ast.iter_child_nodes(node))


def modules(folder: str) -> list[str]:
    return sorted(path.stem for path in (PACKAGE / folder).glob("*.py") if not path.stem.startswith("__"))


def test_every_module_is_in_the_map_once_and_no_other() -> None:
    mapped = [name for part in ("Words", "Pure rooms", "Adapters", "Movers and programs") for name in rooms(part)]
    assert sorted(mapped) == modules(".")
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.glob("*/**/*.py")}
    assert folders == set(FOLDERS), "a folder of its own needs a part of the map"
    for folder, part in FOLDERS.items():
        assert sorted(rooms(part)) == modules(folder)


def test_the_harmless_are_of_the_standard_library() -> None:
    assert HARMLESS - {"tomllib", "__future__"} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", [*rooms("Words"), *rooms("Pure rooms")])
def test_a_pure_room_reaches_nothing(name: str) -> None:
    pure = {f".{room}" for part in ("Words", "Pure rooms") for room in rooms(part)}
    allowed = HARMLESS | PACKAGES | pure | {f".{other}" for room, other in PURE_PARTS_OF_ADAPTERS if room == name}
    assert set(imports(name)) - allowed == set()


def test_what_travels_imports_nothing_of_ours() -> None:
    assert [name for name in imports("model") if name.startswith(".")] == []


def test_a_room_that_reaches_out_would_be_seen() -> None:
    assert {"os", "subprocess"} <= set(imports("content"))


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:tests|native)/[\w/.]+)`", DOCUMENT)) | {"tests/fakes/simulated_aio_sweep.py"}
    assert len(named) > 10
    assert [name for name in named if "NAME" not in name and not (PROJECT / name).exists()] == []
