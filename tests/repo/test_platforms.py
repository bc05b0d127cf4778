"""docs/reference/platforms.md and README promise platforms that .ci/platforms tries, and no others."""

from __future__ import annotations

import re
import subprocess

from unit.support.builders import PROJECT

SCRIPT = PROJECT / ".ci/platforms"
REPEATED = re.findall(r"title='(.+?)'", SCRIPT.read_text(encoding="utf-8"))
PAGE = (PROJECT / "docs/reference/platforms.md").read_text(encoding="utf-8")


def promised(document: str) -> list[str]:
    """Return the platforms of the sentence that begins with "Supported systems are"."""
    text = " ".join((PROJECT / document).read_text(encoding="utf-8").split())
    (sentence,) = re.findall(r"Supported systems are (.+?) with Python", text)
    return [
        f"{distribution} {version}"
        for distribution, versions in re.findall(r"(Debian|Ubuntu) ((?:[\d.]+(?:, | and )?)+)", sentence)
        for version in re.findall(r"[\d.]*\d", versions)
    ]


def test_readme_and_the_guide_promise_what_the_page_says_was_tried() -> None:
    tried, _, not_tried = PAGE.partition("## Kernel")[0].partition("**Not tried:**")
    assert not_tried
    for name in promised("README.md"):
        assert name in REPEATED
        assert re.search(rf"^\| {name} \||^- \*\*{name}\*\*", tried, re.MULTILINE), name
    assert promised("README.md") == promised("docs/how-to/install.md") != []


def test_an_unknown_platform_is_refused_before_anything_is_made() -> None:
    done = subprocess.run(["sh", SCRIPT, "debian-1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("platforms: debian-1: unknown platform; use one of: debian-12 ")
