"""A driver is another user's program, so nothing in its answers is taken for granted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from aio_tuned.errors import HelperError
from aio_tuned.launch.verify import answers

FILE = "/opt/x/lib/python3.11/site-packages/deepspeed-0.19.8.dist-info/METADATA"


@pytest.mark.parametrize("version", ["0.19.8", "v1.0", "26.6.0+cu121", "fio-3.33-12-gabc", "1!2.0rc1", "0.4_x~1"])
def test_a_release_is_a_word_and_an_absolute_path(version: str) -> None:
    assert answers.release({"version": version, "file": FILE}) == (version, Path(FILE))


@pytest.mark.parametrize(
    "changed",
    [
        # A line of its own in a file of variables, and codes that a terminal obeys.
        {"version": "1\nLD_PRELOAD=/home/u/evil.so"},
        {"version": "1\x1b[2J"},
        {"version": "\ud800"},
        {"version": ""},
        {"version": "1" * 101},
        {"version": 1},
        {"version": None},
        {"file": "x/METADATA"},
        {"file": "/x\0y"},
        {"file": "/x\ny"},
        {"file": ["/x"]},
        {"file": None},
    ],
)
def test_another_release_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(HelperError, match=r"release.* is not valid"):
        answers.release({"version": "1.0", "file": FILE, **changed})
    with pytest.raises(HelperError):
        answers.release({})


def test_a_rate_is_bytes_over_seconds() -> None:
    assert answers.rate({"bytes": 1 << 30, "seconds": 0.5}) == 1 << 31


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"bytes": 1, "seconds": 0},
        {"bytes": 1, "seconds": -1.0},
        {"bytes": 1, "seconds": math.nan},
        {"bytes": 1, "seconds": math.inf},
        {"bytes": 1, "seconds": "1"},
        {"bytes": 1, "seconds": 10.0},
        {"bytes": 0, "seconds": 1.0},
        {"bytes": 10**400, "seconds": 1.0},
        {"bytes": 1 << 30, "seconds": 1e-300},
        {"bytes": [1], "seconds": 1.0},
    ],
)
def test_impossible_figures_are_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(HelperError, match="impossible"):
        answers.rate(answer)


def test_a_share_and_a_count_are_in_their_range() -> None:
    assert answers.resident({"resident": 0.25}) == 0.25
    assert answers.count_before({"count_before": 64}) == 64
    assert answers.count_before({}) is None
    for share in (-1, 2, math.nan, "1", None):
        with pytest.raises(HelperError, match="impossible"):
            answers.resident({"resident": share})
    for count in (-1, 1.5, "1", [1]):
        with pytest.raises(HelperError, match="impossible"):
            answers.count_before({"count_before": count})


def test_the_folder_must_be_on_the_drive_that_was_looked_at(tmp_path: Path) -> None:
    """By now PATH may be unmounted, or a link to elsewhere."""
    made, device = tmp_path / "made", tmp_path.stat().st_dev
    made.mkdir()
    assert answers.folder({"folder": str(made)}, device) == str(made)
    with pytest.raises(HelperError, match=f"{made}: on another filesystem than before"):
        answers.folder({"folder": str(made)}, device + 1)
    link = tmp_path / "link"
    link.symlink_to(made)
    for wrong in (str(link), str(tmp_path / "missing"), "made", "/x\0y", "", None, 1):
        with pytest.raises(HelperError, match="no folder was made"):
            answers.folder({"folder": wrong}, device)
