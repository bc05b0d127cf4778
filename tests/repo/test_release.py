"""The version is in one place; where a document repeats it, it is the same."""

from __future__ import annotations

import re
from pathlib import Path

from aio_tuned import __version__

ROOT = Path(__file__).parents[2]
# As in the tag of an image, and in the name of a package.
_NAMED = re.compile(r"\baio-tuned[:_](\d+(?:\.\d+)+)")


def test_documents_and_manifests_name_this_version() -> None:
    texts = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".yaml", ".yml", "")]
    named = {path: set(_NAMED.findall(path.read_text())) for path in texts if path.is_file()}
    assert {str(path.relative_to(ROOT)): found for path, found in named.items() if found - {__version__}} == {}
    assert {path.parent.name for path, found in named.items() if found} == {"ansible", "how-to", "kubernetes"}


def test_nothing_else_sets_it() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert re.findall(r"^version\b.*", project, flags=re.MULTILINE) == []
    assert '\nmetadata.version.input = "daemon/aio_tuned/__init__.py"\n' in project


def test_the_newest_section_of_the_changelog_is_of_it() -> None:
    """`make deb` takes the changes of the package from there."""
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert sections[0] == __version__
    assert sections == sorted(sections, key=lambda one: tuple(map(int, one.split("."))), reverse=True)
