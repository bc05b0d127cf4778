"""Fixtures that build the helper once and start it."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native.helper_process import Helper
from storage import visible_proc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from native.helper_process import StartHelper

NATIVE = Path(__file__).resolve().parents[2] / "native"


def build(where: Path, *options: str) -> Path:
    """Build native/ out of tree and return the build directory."""
    for command in (["cmake", "-S", str(NATIVE), "-B", str(where), *options], ["cmake", "--build", str(where), "-j2"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return where


@pytest.fixture(scope="session")
def native_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain build, with warnings as errors and the unit tests."""
    return build(tmp_path_factory.mktemp("native"), "-DAIO_SWEEP_WERROR=ON")


@pytest.fixture(scope="session")
def sanitized_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same build with AddressSanitizer and UndefinedBehaviorSanitizer."""
    return build(tmp_path_factory.mktemp("sanitized"), "-DAIO_SWEEP_WERROR=ON", "-DAIO_SWEEP_SANITIZE=ON")


@pytest.fixture(scope="session")
def helper_path(request: pytest.FixtureRequest) -> Path:
    """The binary: AIO_TUNED_HELPER_BUILD (the file or its directory), else that of `native_build`."""
    given = os.environ.get("AIO_TUNED_HELPER_BUILD")
    if given:
        path = Path(given)
        return path / "aio-sweep" if path.is_dir() else path
    folder: Path = request.getfixturevalue("native_build")
    return folder / "aio-sweep"


@pytest.fixture
def start(helper_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartHelper]:
    """Start the helper with these arguments, and kill it at the end of the test if it is still running.

    A helper that may write a device gets a procfs with the current processes whose open files may be read here.
    """
    with ExitStack() as stack:

        def begin(*arguments: str | Path) -> Helper:
            if "--allow-write" in arguments and any(str(word).startswith("--device") for word in arguments):
                arguments = (*arguments, f"--proc={visible_proc(tmp_path_factory.mktemp('seen'))}")
            return stack.enter_context(Helper(helper_path, arguments))

        yield begin


@pytest.fixture(autouse=True)
def only_as_root(request: pytest.FixtureRequest) -> None:
    """Skip tests that need root, with the reason."""
    if not {"loop_device", "filesystem"} & set(request.fixturenames):
        return
    if os.geteuid() != 0:
        pytest.skip("needs root for loop devices and mounts")
    if not Path("/dev/loop-control").exists():
        pytest.skip("needs loop devices (modprobe loop)")
