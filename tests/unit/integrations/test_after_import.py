from __future__ import annotations

import importlib
import inspect
import sys
from typing import TYPE_CHECKING

import pytest

from aio_tuned.integrations.after_import import AfterImport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

NAME = "aio_tuned_test_package.inner"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with a module that another one takes a name from."""
    folder = tmp_path / "aio_tuned_test_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "inner.py").write_text("value = 1\nclass Here: pass\n")
    (folder / "other.py").write_text("from .inner import value\n")
    (folder / "broken.py").write_text("raise ZeroDivisionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    yield
    assert sys.meta_path == before
    for name in [name for name in sys.modules if name.startswith("aio_tuned_test_package")]:
        del sys.modules[name]


def double(module: ModuleType) -> None:
    module.value *= 2  # type: ignore[attr-defined]  # the test's own module


def test_a_later_import_is_changed_before_others_take_names_from_it() -> None:
    waiting = AfterImport(NAME, double)
    assert NAME not in sys.modules
    assert importlib.import_module("aio_tuned_test_package.other").value == 2
    assert importlib.import_module(NAME).value == 2
    waiting.remove()


def test_a_module_that_has_been_imported_is_changed_at_once() -> None:
    module = importlib.import_module(NAME)
    AfterImport(NAME, double).remove()
    assert module.value == 2


def test_after_a_removal_nothing_is_changed() -> None:
    waiting = AfterImport(NAME, double)
    waiting.remove()
    waiting.remove()
    assert importlib.import_module(NAME).value == 1


def test_a_module_looks_as_if_it_had_been_imported_without() -> None:
    waiting = AfterImport(NAME, double)
    module = importlib.import_module(NAME)
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__ is not None
    assert module.__spec__.loader is module.__loader__
    assert "class Here" in inspect.getsource(module.Here)
    assert importlib.reload(module).value == 2
    waiting.remove()


def test_errors_of_an_import_are_its_own() -> None:
    called: list[ModuleType] = []
    missing, broken = (AfterImport(f"aio_tuned_test_package.{name}", called.append) for name in ("none", "broken"))
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'aio_tuned_test_package\.none'"):
        importlib.import_module("aio_tuned_test_package.none")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("aio_tuned_test_package.broken")
    assert called == []
    missing.remove()
    broken.remove()
