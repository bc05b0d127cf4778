"""The tiers: each folder of tests is one, known by what it needs of the machine.

A tier whose needs are not met is skipped as a whole, with a message; with CI=true in the environment that is a
failure.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping

    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

TIERS = ("repo", "unit", "native", "daemon", "fleet", "consumers", "vm")
# What files whose names begin like this have only one of. With several workers (pytest-xdist) one worker runs all tests
# of a group, one after the other; each other file is a group. These take minutes and are begun first, in this order.
GROUPS = {
    "tests/vm/test_daemon_": "the daemon's guest",
    "tests/vm/": "guest",
    # udevd, processors that nobody else uses, and the page cache, which drop_caches empties for everyone.
    "tests/daemon/test_daemon_": "host",
    "tests/daemon/test_monitoring": "host",
    "tests/daemon/test_udev_source": "host",
    "tests/daemon/test_with_udevd": "host",
    "tests/native/": "host",
    "tests/fleet/": "etcd",
    "tests/daemon/": "",  # storage of its own: a file is a group, the longest there are
}
# The consumers' own packages are 10 GB and more: make test-consumers installs them, make test says that it did not.
REQUIRED = frozenset(TIERS) - {"consumers"}
CONSUMERS = os.environ.get("AIO_TUNED_CONSUMERS") or str(Path(__file__).resolve().parents[1] / "build/consumers")
CAP_SYS_ADMIN = 21


# --- what a tier needs -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement of a tier; `sign` proves it: a command, a path, or "root"."""

    sign: str
    what: str
    get: str


STORAGE = (
    Need("root", "root with the right to mount", "sudo make test, and in a container --privileged"),
    Need("/dev/loop-control", "loop devices", "modprobe loop, and in a container --privileged"),
    Need("losetup", "losetup", "apt-get install mount"),
)
NEEDS: Mapping[str, tuple[Need, ...]] = {
    "repo": (),
    "unit": (),
    # A helper that is given need not be built.
    "native": ()
    if "AIO_TUNED_HELPER_BUILD" in os.environ
    else (
        Need("cc", "a C compiler", "apt-get install gcc libc6-dev"),
        Need("/usr/include/libaio.h", "the headers of libaio", "apt-get install libaio-dev"),
        Need("cmake", "CMake", "apt-get install cmake"),
    ),
    "daemon": (
        *STORAGE,
        Need("mkfs.ext4", "mkfs.ext4", "apt-get install e2fsprogs"),
        Need("udevadm", "udev", "apt-get install udev"),
    ),
    "fleet": (
        Need("etcd", "etcd", "apt-get install etcd-server"),
        Need("etcdctl", "etcdctl", "apt-get install etcd-client"),
    ),
    "consumers": (Need(CONSUMERS, "the consumers' own packages", "sudo make test-consumers"),),
    "vm": (
        Need("root", "root", "sudo make test"),
        Need("qemu-system-x86_64", "QEMU", "apt-get install qemu-system-x86"),
        Need("qemu-img", "qemu-img", "apt-get install qemu-utils"),
        Need("mmdebstrap", "mmdebstrap", "apt-get install mmdebstrap"),
        Need("mke2fs", "mke2fs", "apt-get install e2fsprogs"),
    ),
}


def machine_has(sign: str) -> bool:
    """Return whether this machine has the sign of a Need."""
    if sign == "root":
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
        return os.geteuid() == 0 and bool(int(effective, 16) >> CAP_SYS_ADMIN & 1)
    if sign.startswith("/"):
        return Path(sign).exists()
    return shutil.which(sign) is not None


def unmet(tier: str, has: Callable[[str], bool] = machine_has) -> tuple[Need, ...]:
    """Return the needs of the tier that the machine does not meet."""
    return tuple(need for need in NEEDS[tier] if not has(need.sign))


def in_words(needs: Iterable[Need]) -> str:
    """Return a message on the missing needs and their remedies."""
    return "; ".join(f"needs {need.what} ({need.get})" for need in needs)


# --- the outcome of each tier ----------------------------------------------------------------------------


@dataclass(slots=True)
class Counts:
    """The numbers of a tier's tests by outcome."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


def tier_of(path: str) -> str | None:
    """Return the tier of a test file or node id, given relative to the project."""
    match PurePosixPath(path.partition("::")[0]).parts:
        case ("tests", tier, *_) if tier in TIERS:
            return tier
    return None


def group_of(node_id: str) -> str:
    """Return the group of tests that run one after the other, in one worker."""
    return next((group for start, group in GROUPS.items() if node_id.startswith(start)), "") or file_of(node_id)


def file_of(node_id: str) -> str:
    """The test's file; of the long tests, each of which has a guest almost for itself, each file is a group."""
    return node_id.partition("::")[0]


def turn_of(node_id: str) -> int:
    """The place of a test's group in a run with several workers: the one that takes longest is begun first."""
    groups = list(dict.fromkeys(GROUPS.values()))
    group = next((group for start, group in GROUPS.items() if node_id.startswith(start)), None)
    return len(groups) if group is None else groups.index(group)


def selected_tiers(named: Iterable[str], places: Collection[Path], root: Path) -> tuple[str, ...]:
    """The tiers of a run: those named, else those that the places on the command line touch, else all."""
    wanted = set(named)
    if not wanted:
        folders = {tier: root / "tests" / tier for tier in TIERS}
        wanted = {
            tier
            for tier, folder in folders.items()
            if not places or any(p.is_relative_to(folder) or folder.is_relative_to(p) for p in places)
        }
    return tuple(tier for tier in TIERS if tier in wanted)


def count_outcomes(outcomes: Mapping[str, str], tiers: Iterable[str]) -> dict[str, Counts]:
    """Count outcomes ("passed", "failed", "skipped" by node id) by tier."""
    result = {tier: Counts() for tier in tiers}
    for node_id, outcome in outcomes.items():
        counts = result.get(tier_of(node_id) or "")
        if counts is not None:
            setattr(counts, outcome, getattr(counts, outcome) + 1)
    return result


def complaints(counted: Mapping[str, Counts], lacking: Mapping[str, str], empty: frozenset[str]) -> list[str]:
    """Return why CI must fail this run although no test of it failed.

    `counted` has the selected tiers, of which those that are not REQUIRED may be skipped, `lacking` what is missing for
    those that were skipped, `empty` those with no test files.
    """
    result = []
    for tier, counts in counted.items():
        if tier not in REQUIRED:
            continue
        if tier in empty:
            result.append(f"tier {tier} has no tests")
        elif tier in lacking:
            result.append(f"tier {tier} was skipped: {lacking[tier]}")
        elif not counts.passed and not counts.failed:
            result.append(f"no test of tier {tier} was executed")
    return result


@dataclass(eq=False)
class Tiers:
    """A plugin of pytest that skips tiers, counts outcomes, prints a table, and sets the result for CI."""

    root: Path
    selected: tuple[str, ...]
    ci: bool
    long: bool  # those that take minutes, and only those
    is_worker: bool  # of pytest-xdist: it runs tests, and the controller counts and judges
    lacking: dict[str, str] = field(init=False)
    empty: frozenset[str] = field(init=False)
    outcomes: dict[str, str] = field(init=False, default_factory=dict)
    complaints: list[str] = field(init=False, default_factory=list)
    ran: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.lacking = {tier: in_words(needs) for tier in self.selected if (needs := unmet(tier))}
        self.empty = frozenset(
            tier for tier in self.selected if not any((self.root / "tests" / tier).rglob("test_*.py"))
        )

    def relative(self, path: Path) -> str:
        """Return the path relative to the project, for tier_of()."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else ""

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Leave out the tiers that were not asked for: their files are not even imported."""
        tier = tier_of(self.relative(collection_path))
        return True if tier and tier not in self.selected else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark each test with its tier, skip what cannot or need not run here, and put the tiers in their order."""
        if self.long:
            config.hook.pytest_deselected(items=[item for item in items if not item.get_closest_marker("long")])
            items[:] = [item for item in items if item.get_closest_marker("long")]
        for item in items:
            tier = tier_of(self.relative(item.path))
            if tier:
                item.add_marker(tier)
            if tier in self.lacking:
                item.add_marker(pytest.mark.skip(reason=f"tier {tier} {self.lacking[tier]}"))
            if not self.long and item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: make test-long"))
        order = {tier: place for place, tier in enumerate(TIERS)}
        items.sort(key=lambda item: order.get(tier_of(self.relative(item.path)) or "", len(order)))
        if self.is_worker:
            items.sort(key=lambda item: turn_of(item.nodeid))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> LoadScopeScheduling:
        """Give the workers whole groups of tests, in the order in which they were collected."""
        from xdist.scheduler import LoadScopeScheduling

        split = file_of if self.long else group_of

        class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
            def _split_scope(self, nodeid: str) -> str:
                return split(nodeid)

        config.option.loadscopereorder = False
        return ByGroup(config, log)

    def note(self, node_id: str, outcome: str) -> None:
        """Keep the worst outcome of a test's phases."""
        rank = ("passed", "skipped", "failed")
        self.outcomes[node_id] = max(self.outcomes.get(node_id, "passed"), outcome, key=rank.index)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the outcome of each phase; an expected failure (xfail) counts as skipped."""
        outcome: str = report.outcome
        if outcome != "rerun":  # pytest-rerunfailures': what counts comes after it
            self.note(report.nodeid, outcome)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported is a failed test, one that skips itself a skipped one."""
        if not report.passed:
            self.note(report.nodeid, report.outcome)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail a good run in CI if a tier was left out; pass a run without tests."""
        self.ran = not session.config.option.collectonly and not self.is_worker
        if not self.ran:
            return
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.empty.issuperset(self.selected):
            session.exitstatus = pytest.ExitCode.OK
        if self.ci:
            self.complaints = complaints(count_outcomes(self.outcomes, self.selected), self.lacking, self.empty)
        if self.complaints and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Print the table, below everything else."""
        yield
        if not self.ran:
            return
        out = terminalreporter
        out.section("tiers")
        out.write_line(f"{'tier':10}{'passed':>8}{'failed':>8}{'skipped':>8}")
        for tier, counts in count_outcomes(self.outcomes, self.selected).items():
            row = f"{tier:10}{counts.passed:8}{counts.failed:8}{counts.skipped:8}"
            if tier in self.empty:
                out.write_line(f"{row}   no tests yet")
            elif tier in self.lacking:
                out.write_line(f"{row}   !!! SKIPPED: {self.lacking[tier]}", red=True, bold=True)
            else:
                out.write_line(row)
        for complaint in self.complaints:
            out.write_line(f"!!! CI: {complaint}", red=True, bold=True)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Print the last line, for readers of that line alone."""
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or not self.ran:
            return
        ends = list(self.outcomes.values())
        reporter.write_line(
            f"{ends.count('passed')} passed, {ends.count('failed')} failed, {ends.count('skipped')} skipped"
        )
