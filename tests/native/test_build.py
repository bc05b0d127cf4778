"""The C unit tests, plain and under sanitizers, run by pytest, so that one command runs all tests."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from native.conftest import build
from native.helper_process import MIB, Helper, point

if TYPE_CHECKING:
    from pathlib import Path


def run_ctest(folder: Path) -> None:
    done = subprocess.run(
        ["ctest", "--output-on-failure", "-j2"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_unit_tests(native_build: Path) -> None:
    run_ctest(native_build)


def test_unit_tests_under_sanitizers(sanitized_build: Path) -> None:
    run_ctest(sanitized_build)


def test_a_run_under_sanitizers(sanitized_build: Path, tmp_path: Path) -> None:
    arguments = [f"--scratch={tmp_path}", f"--span-bytes={8 * MIB}", f"--max-transfer-bytes={4 * MIB}", "--allow-write"]
    with Helper(sanitized_build / "aio-sweep", [*arguments, "--protocol=2"]) as helper:
        engines = [name for name, why in helper.receive()["engines"].items() if not why]
        for op, engine, threads in itertools.product(("read", "write"), engines, (1, 4)):
            keys = {"engine": engine, "queue_depth": 1 if engine == "psync" else 4, "io_parallelism": threads}
            assert helper.ask(point(op=op, access="random", min_transfers=2, **keys))["type"] == "point"
        assert helper.finish()[0] == 0
        assert helper.stderr == ""


def test_a_build_without_liburing(tmp_path: Path) -> None:
    """It measures the other engines, and says in hello why not io_uring."""
    folder = build(tmp_path / "build", "-DAIO_SWEEP_IO_URING=OFF", "-DAIO_SWEEP_WERROR=ON", "-DBUILD_TESTING=OFF")
    arguments = [f"--scratch={tmp_path}", f"--span-bytes={8 * MIB}", f"--max-transfer-bytes={4 * MIB}"]
    with Helper(folder / "aio-sweep", [*arguments, "--protocol=2"]) as helper:
        engines = helper.receive()["engines"]
        assert engines["libaio"] == engines["psync"] == ""
        assert "built without liburing" in engines["io_uring"]
        assert helper.ask(point(engine="psync", queue_depth=1))["type"] == "point"
        helper.send(point(engine="io_uring"))
        assert helper.fail()[0] == 65


def test_a_run_under_valgrind(native_build: Path, tmp_path: Path) -> None:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        pytest.skip("valgrind is not installed")
    done = subprocess.run(
        [
            valgrind,
            "-q",
            "--error-exitcode=99",
            "--leak-check=full",
            native_build / "aio-sweep",
            f"--scratch={tmp_path}",
            f"--span-bytes={4 * MIB}",
            f"--max-transfer-bytes={MIB}",
            "--allow-write",
        ],
        input=f"{point(transfer_bytes=MIB, io_parallelism=2)}\n{point(op='write', transfer_bytes=MIB)}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["type"] for line in done.stdout.splitlines() if "tick" not in line] == [
        "hello",
        "point",
        "point",
        "end",
    ]
