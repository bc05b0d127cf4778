"""`make wheel`: what is in the wheels, and that one installs and tunes where there is no compiler."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aio_tuned import __version__
from aio_tuned.helper.protocol import PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import storage

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
# The name of the machine in the tag of a wheel, and in the output of readelf.
MACHINES = {"x86_64": "Advanced Micro Devices X86-64", "aarch64": "AArch64"}
# manylinux promises these on every system; the wheel has no others, and so no libaio and no liburing.
PROMISED = re.compile(r"libc\.so\.6|libpthread\.so\.0|ld-linux-[a-z0-9_-]+\.so\.[12]")
GLIBC = (2, 28)


def run(*words: str | Path) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel of each machine, built as `make wheel` builds it."""
    if shutil.which("apt-get") is None:
        pytest.skip("needs the source packages of Debian or Ubuntu")
    made = [Path(line) for line in run(ROOT / ".ci/wheel", tmp_path_factory.mktemp("wheels")).splitlines()]
    return dict(zip(MACHINES, made, strict=True))


@pytest.fixture(scope="module")
def helpers(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The `aio-sweep` of each wheel."""
    name = f"aio_tuned-{__version__}.data/scripts/aio-sweep"
    found = {}
    for machine, wheel in wheels.items():
        with zipfile.ZipFile(wheel) as archive:
            found[machine] = Path(archive.extract(name, tmp_path_factory.mktemp(machine)))
    return found


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory: the fsyncs of dpkg would take two minutes on a disk."""
    with tempfile.TemporaryDirectory(prefix="aio-tuned-test-", dir="/dev/shm") as made:
        yield Path(made)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_tag_is_that_of_a_system_with_glibc_2_28_or_older(wheels: dict[str, Path], machine: str) -> None:
    tag = re.fullmatch(
        rf"aio_tuned-{re.escape(__version__)}-py3-none-manylinux_(\d+)_(\d+)_{machine}(?:\.\S+)?\.whl",
        wheels[machine].name,
    )
    assert tag
    assert (int(tag[1]), int(tag[2])) <= GLIBC


@pytest.mark.parametrize("machine", MACHINES)
def test_the_helper_is_of_that_machine_and_needs_the_c_library_alone(helpers: dict[str, Path], machine: str) -> None:
    shown = run("readelf", "--wide", "--file-header", "--dynamic", "--version-info", helpers[machine])
    assert re.search(rf"Machine: +{MACHINES[machine]}\n", shown)
    needed = re.findall(r"\(NEEDED\) +Shared library: \[(\S+)\]", shown)
    assert "libc.so.6" in needed
    assert [name for name in needed if not PROMISED.fullmatch(name)] == []
    versions = {tuple(map(int, found.split("."))) for found in re.findall(r"Name: GLIBC_([0-9.]+)", shown)}
    assert max(versions) <= GLIBC


@pytest.mark.parametrize("machine", MACHINES)
def test_the_helper_has_both_libraries_and_their_licenses(
    wheels: dict[str, Path], helpers: dict[str, Path], machine: str
) -> None:
    with zipfile.ZipFile(wheels[machine]) as archive:
        folder = f"aio_tuned-{__version__}.dist-info/licenses"
        texts = {
            name.removeprefix(f"{folder}/"): archive.read(name).decode()
            for name in archive.namelist()
            if name.startswith(f"{folder}/") and not name.endswith("/")
        }
    assert set(texts) == {"LICENSE", "LIBRARIES", "libaio.LGPL-2.1-or-later", "liburing.MIT"}
    assert texts["LICENSE"] == (ROOT / "LICENSE").read_text()
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in texts["libaio.LGPL-2.1-or-later"]
    assert "without restriction" in texts["liburing.MIT"]
    assert re.findall(r"- (libaio|liburing)_[0-9.]+: (\S+)\n", texts["LIBRARIES"]) == [
        ("libaio", "libaio.LGPL-2.1-or-later"),
        ("liburing", "liburing.MIT"),
    ]
    assert len(list(wheels[machine].parent.glob("libaio_*.orig.tar.*"))) == 1  # the source that the LGPL asks for
    assert b"io_uring_setup" in helpers[machine].read_bytes()  # only the engine that is built with liburing names it


IN_THE_ROOT = """
set -eu
mount --bind "$1" "$1" && cd "$1"
mount --bind "$2" mnt && mkdir wheels && mount --bind "$3" wheels
mount --rbind /dev dev && mount --rbind /sys sys && mount -t proc none proc
chroot . sh -euc '
    for compiler in cc gcc clang tcc; do
        if command -v $compiler; then exit 1; fi
    done
    test ! -e /usr/include/stdio.h
    python3 -m venv /opt/aio-tuned
    /opt/aio-tuned/bin/pip install --quiet --no-index --find-links /wheels aio-tuned
    export PATH=/opt/aio-tuned/bin:$PATH
    aio-tuned --version
    aio-tuned tune --quiet --effort quick --thin-writes --out /tmp/profile /mnt >&2
    cat /tmp/profile/*.toml
'
"""


def test_it_installs_and_tunes_where_there_is_no_compiler(
    wheels: dict[str, Path],
    memory: Path,
    filesystem: Callable[..., storage.Filesystem],
    tmp_path: Path,
) -> None:
    machine = os.uname().machine
    if machine not in wheels:
        pytest.skip(f"there is no wheel for {machine}")
    if shutil.which("mmdebstrap") is None:
        pytest.skip("needs mmdebstrap (apt-get install mmdebstrap)")
    root = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=directory", "--include=python3-venv"]
    run(*root, "bookworm", memory / "root")
    pip = [sys.executable, "-m", "pip"]
    run(*pip, "download", "--quiet", "--no-deps", "--dest", tmp_path, "--python-version=3.11", "numpy")
    run(*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, "pyudev", "sdnotify", "toml")
    shutil.copy(wheels[machine], tmp_path)
    script = ("unshare", "--mount", "--propagation=private", "sh", "-c", IN_THE_ROOT, "sh")
    shown = run(*script, memory / "root", filesystem(size_bytes=1 << 30).path, tmp_path)
    assert re.match(rf"aio-tuned {re.escape(__version__)} \(commit \S+, aio-sweep protocol {PROTOCOL}\)\n", shown)
    assert "[read]\nblock_size = " in shown
    assert "[write]\nblock_size = " in shown
