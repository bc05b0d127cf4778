from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aio_tuned.cli import main
from aio_tuned.errors import Exit
from aio_tuned.search.threads import limit_threads
from unit.support.builders import PROJECT

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
# Multiplies matrices large enough for BLAS to share out, and says how many threads the process has.
COUNT = """
from aio_tuned.search import posterior
posterior.np.ones((500, 500)) @ posterior.np.ones((500, 500))
import os
print(len(os.listdir("/proc/self/task")))
"""


@pytest.fixture(autouse=True)
def not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def threads(environment: dict[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env={**environment, "PYTHONPATH": str(PROJECT / "daemon")},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_the_search_computes_in_one_thread() -> None:
    assert threads(dict(limit_threads(dict(os.environ)))) == 1


def test_a_number_that_the_user_has_set_is_kept() -> None:
    assert limit_threads({"OPENBLAS_NUM_THREADS": "4"}) == {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("words", [["tune", "/nowhere/at/all"], ["report", "/nowhere/at/all"]])
def test_commands_that_load_numpy_limit_it_first(words: list[str]) -> None:
    assert main.main(words) in (Exit.TARGET, Exit.CONFIG)
    assert [os.environ[name] for name in VARIABLES] == ["1", "1"]
