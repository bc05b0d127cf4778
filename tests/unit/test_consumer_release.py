from __future__ import annotations

import pytest

from aio_tuned.consumers.export import Wishes
from aio_tuned.consumers.release import need_release
from aio_tuned.errors import UsageError


def wanted(release: str | None, first: str = "1.2.0") -> None:
    need_release(Wishes(for_version=release), "Thing", first, "knob")


@pytest.mark.parametrize(
    "release", [None, "1.2", "1.2.0", "v1.2.0", "1.2.0.post1", "1.2.1rc2", "1.10.0", "1.2.0+cu129", "2.0"]
)
def test_a_release_that_has_it_is_taken(release: str | None) -> None:
    wanted(release)


@pytest.mark.parametrize("release", ["1.1.9", "1.1.9.post2", "0.12", "1.1.0+cu129"])
def test_a_release_that_lacks_it_is_refused_with_what_it_lacks(release: str) -> None:
    with pytest.raises(UsageError, match=r"has no knob: it came with 1\.2\.0"):
        wanted(release)


@pytest.mark.parametrize("text", ["", "new", "1", "1.x", "1.2.", "1.2.3 beta", "=1.2.3"])
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no release of Thing"):
        wanted(text)


def test_trailing_zeros_do_not_count() -> None:
    wanted("1.0", first="1.0.0")
    wanted("1.0.0", first="1.0")
