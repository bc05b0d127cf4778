"""arm64: the helper and the package are cross-built, and run by emulated processors.

Programs run by qemu-user, which has neither io_setup nor io_uring and the pages of this machine, and in a guest with
Debian's kernel of 16 KiB pages. What is measured there says nothing of a drive; that it works is what counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from needed import command
from vm.daemon_guest import DaemonGuest
from vm.guest import MIB
from vm.kept import PROJECT, run
from vm.product import compilers, kept_package, make_in
from vm.rig.errors import CommandError, RigError
from vm.rig.machine import build_image, cache
from vm.root import Root, run_programs_of, unpacked
from vm.test_daemon_hotplug import test_a_drive_comes_is_measured_and_goes  # noqa: F401 - it runs here, too

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.long, pytest.mark.timeout(7200)]

SUITE = "trixie"
PAGE_BYTES = 16 << 10
SKIPPED = 77
AARCH64 = 183  # of ELF's e_machine
TO_ARM64 = ("crossbuild-essential-arm64", "libaio-dev:arm64", "liburing-dev:arm64")
# Tests of the helper that say by qemu-user that they lack io_setup(2), and the processes of a host.
ELSEWHERE = {"team", "openers"}
# Where programs are emulated, a process takes a tenth of a second to start.
PYTEST = ("python3", "-m", "pytest", "-q", "-o", "cache_dir=/tmp/pytest", "--timeout=1200")
# What of the unit tests depends on the machine, and simulates no fleet and no drive: those take hours when emulated.
# Left out is what needs hjson, which Debian 13 does not have, the processes of a host, an installed helper, or speed.
UNIT = (
    "--ignore=tests/unit/consumers/merge/test_json_editor.py",
    "--deselect=tests/unit/devices/test_lock_holder.py::test_an_inherited_lock_is_that_of_the_heir",
    "--deselect=tests/unit/helper/test_helper.py::test_the_helper_that_is_named_is_the_one",
    # /tmp is on an overlay whose upper folder is not visible there, so that its drive is not known.
    "--deselect=tests/unit/launch/test_run_command.py::test_without_settings_the_command_starts_unchanged",
    "--deselect=tests/unit/launch/test_run_command.py::test_what_is_required_and_what_is_only_printed_is_not_started",
    # O_DIRECT has another value on arm64 than in /proc of the x86-64 kernel below.
    "--deselect=tests/unit/launch/verify/test_effect.py::test_direct_io_is_seen_by_the_flags_of_open_files",
    "--deselect=tests/unit/integrations/test_vllm_plugin.py::test_it_is_imported_with_what_python_has_anyway_and_in_less_than_5_ms",
    *(f"tests/unit/{folder}" for folder in ("config", "consumers", "devices", "helper", "integrations", "journald")),
    *(f"tests/unit/{folder}" for folder in ("launch", "profiles", "reader", "storage")),
)


@pytest.fixture(scope="module", autouse=True)
def emulators() -> None:
    command("qemu-system-aarch64", "apt-get install qemu-system-arm")
    command("qemu-aarch64-static", "apt-get install qemu-user-static")
    command("arch-test", "apt-get install arch-test")
    run_programs_of("aarch64")


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A Debian of this machine's architecture with compilers for arm64."""
    return compilers(SUITE, tmp_path_factory.mktemp("compilers"), *TO_ARM64, architectures=",arm64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A cross-build of native/ in /build of the compilers' root."""

    root: Root

    def tests(self) -> dict[str, Sequence[str]]:
        """The tests of CTest and their commands."""
        listed = json.loads(self.root.run(["ctest", "--test-dir", "/build", "--show-only=json-v1"], timeout_s=600))
        return {test["name"]: test["command"] for test in listed["tests"]}


@pytest.fixture(scope="module")
def build(cross: Root) -> Build:
    where = ["-S", "native", "-B", "/build", "-DCMAKE_TOOLCHAIN_FILE=/tree/native/aarch64.cmake"]
    cross.run(["cmake", *where, "-DAIO_SWEEP_WERROR=ON"], timeout_s=600)
    cross.run(["cmake", "--build", "/build"], timeout_s=1200)
    return Build(root=cross)


@pytest.fixture(scope="module")
def arm64_package(cross: Root) -> Path:
    """The package for arm64, which is kept as the one of this machine is."""
    return kept_package(f"{SUITE}-arm64", lambda folder: make_in(cross, folder, "arm64"))


@pytest.fixture(scope="module")
def image() -> Path:
    try:
        return build_image(suite=SUITE, arch="arm64", kernel="arm64-16k")
    except RigError as error:
        pytest.skip(f"no image of the guest: it is built from Debian's archive, which must be reachable: {error}")


@pytest.fixture(scope="module")
def machine(image: Path, arm64_package: Path) -> Iterator[DaemonGuest]:
    """A guest with arm64 processors and 16 KiB pages, in which the package is installed."""
    with DaemonGuest(image, arm64_package) as guest:
        yield guest


@pytest.fixture
def host(machine: DaemonGuest) -> Iterator[DaemonGuest]:
    yield machine
    machine.clean_up()


# --- cross-built ---------------------------------------------------------------------------------------------------


def test_the_package_is_for_arm64(arm64_package: Path, tmp_path: Path) -> None:
    assert run(["dpkg-deb", "--field", arm64_package, "Architecture"], tmp_path).strip() == "arm64"
    run(["dpkg-deb", "--extract", arm64_package, tmp_path / "files"], tmp_path)
    header = (tmp_path / "files/usr/bin/aio-sweep").read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert int.from_bytes(header[18:20], "little") == AARCH64
    assert run(["lintian", "--allow-root", "--fail-on=error,warning", arm64_package], tmp_path) == ""


def fewer(words: Sequence[str]) -> list[str]:
    """The command of a test, with a tenth of a fuzzer's mutations: emulated, these take as long as all elsewhere."""
    return [*words[:-1], "4000"] if len(words) > 1 else list(words)


def test_the_helpers_own_tests_by_qemu_user(build: Build) -> None:
    skipped = set()
    for name, words in build.tests().items():
        try:
            build.root.run(fewer(words), timeout_s=1200)
        except CommandError as error:
            if error.status != SKIPPED:
                raise
            skipped.add(name)
    assert skipped == ELSEWHERE


def test_the_unit_tests_by_qemu_user(image: Path, tmp_path: Path) -> None:
    base = json.loads((image / "manifest.json").read_text())["base"]
    root = Root(unchanged=unpacked(cache() / base), own=tmp_path)
    # The root has no aio-tuned installed, which programs of some tests import.
    given = ("AIO_TUNED_EXAMPLES=few", "PYTHONPATH=/tree/daemon")
    words = ["env", *given, *PYTEST, "--tier=unit", *UNIT]
    assert " passed" in root.run(words, timeout_s=7000)


# --- in a machine with 16 KiB pages --------------------------------------------------------------------------------


def hello(guest: DaemonGuest, *words: str) -> dict[str, Any]:
    """What a helper for a scratch file says first."""
    arguments = ["--scratch=/var/tmp", f"--span-bytes={64 * MIB}", f"--max-transfer-bytes={64 * MIB}", "--protocol=2"]
    said = guest.sh(["aio-sweep", *arguments, *words]).splitlines()
    found = [json.loads(line) for line in said]
    (first,) = [line for line in found if line["type"] == "hello"]
    return dict(first)


def test_the_helper_knows_the_pages_of_its_kernel(machine: DaemonGuest) -> None:
    assert int(machine.sh("getconf PAGESIZE")) == PAGE_BYTES
    thp = int(machine.sh("cat /sys/kernel/mm/transparent_hugepage/hpage_pmd_size"))
    reserved = machine.sh("ls /sys/kernel/mm/hugepages").split()
    sizes = sorted(int(name.removeprefix("hugepages-").removesuffix("kB")) << 10 for name in reserved)
    said = hello(machine)
    assert said["buffer"]["page_bytes"] == PAGE_BYTES
    assert said["buffer"]["thp_bytes"] == thp == 32 * MIB
    assert said["buffer"]["reserved_page_bytes"] == max(size for size in sizes if size <= 64 * MIB)
    # A run of contiguous pages is no shorter than a page.
    assert said["buffer"]["mean_run_bytes"] >= PAGE_BYTES
    assert said["engines"] == {"libaio": "", "io_uring": "", "psync": ""}
    assert said["page_cache"]["residency"] == "cachestat"


def test_a_buffer_on_huge_pages_of_32_mib(machine: DaemonGuest) -> None:
    thp = hello(machine, "--buffer=huge")["buffer"]
    assert (thp["backing"], thp["huge_bytes"] % (32 * MIB)) == ("thp", 0)
    assert thp["huge_bytes"] > 0
    pool = "/sys/kernel/mm/hugepages/hugepages-32768kB/nr_hugepages"
    try:
        machine.sh(f"echo 2 >{pool}; [ $(cat {pool}) = 2 ]")
        reserved = hello(machine, "--buffer=hugetlb")["buffer"]
    finally:
        machine.sh(f"echo 0 >{pool}")
    assert (reserved["backing"], reserved["huge_bytes"]) == ("hugetlb", 64 * MIB)


def test_the_helpers_own_tests(machine: DaemonGuest, build: Build) -> None:
    machine.push(PROJECT / "native/tests/fuzz", "/tree/native/tests/fuzz")
    failed = {}
    for name, words in build.tests().items():
        machine.push(build.root.path(words[0]), f"/root/tests/{name}")
        job = machine.run([f"/root/tests/{name}", *fewer(words)[1:]], 600)
        if job.status:
            failed[name] = f"exit {job.status}: {job.out}{job.err}"
    assert failed == {}


def test_the_tests_of_the_helpers_protocol(machine: DaemonGuest) -> None:
    for name in ("pyproject.toml", "daemon", "native", "tests"):
        machine.push(PROJECT / name, f"/tree/{name}")
    own = ["tests/native/test_protocol.py", "tests/native/test_engines.py", "tests/native/test_command_line.py"]
    on_disk = "--basetemp=/var/tmp/pytest"  # /tmp is in memory
    words = ["env", "-C", "/tree", "AIO_TUNED_HELPER_BUILD=/usr/bin/aio-sweep", *PYTEST, on_disk, "--tier=native", *own]
    said = machine.sh(words, 1500)
    assert " passed" in said


def test_a_mounted_drive_is_measured_in_both_directions(host: DaemonGuest) -> None:
    drive = host.hotplug("ARM1", "1G", read_bps=100e6, write_bps=60e6)
    tuned = host.tune(host.mount(drive.dev), timeout_s=600)
    assert tuned.profile["state"] == "measured"
    assert tuned.profile["evidence"]["cache_verdict"] == "device"
    assert {sample["cache_verdict"] for sample in tuned.samples} == {"device"}
    assert "part 0xd0c" in tuned.profile["fingerprint"]["cpu_model"]
    assert tuned.profile["fingerprint"]["page_bytes"] == PAGE_BYTES
