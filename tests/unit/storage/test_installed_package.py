"""A look at a consumer's package ends in time, whatever its filesystem does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from aio_tuned.storage.package import Package, answered

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_that_does_not_answer_is_not_waited_for_again() -> None:
    alive = threading.Event()
    looks = []

    def look() -> str:
        looks.append(1)
        alive.wait()
        return "1:2"

    assert answered("/dead/METADATA", look, seconds=0.01) is None
    began = time.monotonic()
    assert answered("/dead/METADATA", look, seconds=60) is None
    assert time.monotonic() - began < 30
    assert len(looks) == 1
    alive.set()
    # The first look's answer is used once it is there.
    while answered("/dead/METADATA", look, seconds=60) is None:
        time.sleep(0.01)
    assert len(looks) == 1


def test_a_release_that_was_replaced_or_removed(tmp_path: Path) -> None:
    file = tmp_path / "venv/kvikio.dist-info/METADATA"
    file.parent.mkdir(parents=True)
    (tmp_path / "venv/other").mkdir()
    file.write_text("Version: 1")
    package = Package.at(file)
    assert not package.is_replaced()
    file.write_text("Version: 1.1")
    assert package.is_replaced()
    file.unlink()
    assert package.is_replaced()


def test_what_cannot_be_seen_is_not_replaced(tmp_path: Path) -> None:
    assert not Package(file=str(tmp_path / "no/such/METADATA"), stamp="1:2").is_replaced()
    assert not Package.at(tmp_path / "no/such/METADATA").is_replaced()
