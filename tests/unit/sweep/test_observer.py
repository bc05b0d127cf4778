from __future__ import annotations

import pytest

from aio_tuned.sweep.observer import NullObserver
from unit.support.builders import MIB, sample


@pytest.mark.parametrize(
    ("foreign_bytes", "warned"),
    [
        pytest.param(0, False, id="nobody"),
        pytest.param(4096, False, id="a log"),
        pytest.param(MIB, True, id="a server"),
    ],
)
def test_tune_warns_once_of_others_that_it_sees(foreign_bytes: int, *, warned: bool) -> None:
    said: list[str] = []
    observer = NullObserver(warn=said.append)
    for _ in range(100):
        observer.after(sample(foreign_bytes=foreign_bytes))
    assert [text.startswith("other processes transfer 16 MB/s on the drive; figures may be low") for text in said] == (
        [True] if warned else []
    )


def test_a_burst_within_two_seconds_is_no_reason_to_warn() -> None:
    said: list[str] = []
    observer = NullObserver(warn=said.append)
    for number in range(100):
        observer.after(sample(foreign_bytes=100_000 if number == 50 else 0))
    assert said == []
