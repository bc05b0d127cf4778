"""Fixtures of all tests: the tiers (tiers.py), and block devices and filesystems (storage.py)."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import udev
from aio_tuned.search.threads import limit_threads
from storage import keep_files_on_disk, mounted_filesystem, open_loop_device
from tiers import STORAGE, TIERS, Tiers, in_words, machine_has, selected_tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from storage import Filesystem, Kind

limit_threads()  # simulated sweeps, in this process
keep_files_on_disk()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", action="append", choices=TIERS, default=[], help="run this tier only (repeatable)")
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, and only those")


def pytest_configure(config: pytest.Config) -> None:
    # A shell has its background commands ignore it, and tests send it to what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    here = config.invocation_params.dir
    places = [(here / argument.partition("::")[0]).resolve() for argument in config.getoption("file_or_dir", [])]
    selected = selected_tiers(config.getoption("tier"), places, config.rootpath)
    ci = os.environ.get("CI", "").lower() in ("1", "true")
    tiers = Tiers(
        root=config.rootpath,
        selected=selected,
        ci=ci,
        long=config.getoption("long"),
        is_worker=hasattr(config, "workerinput"),
    )
    config.pluginmanager.register(tiers, "tiers")
    if not tiers.is_worker:
        udev.unwatch()
        config.add_cleanup(udev.watch)


@pytest.fixture(autouse=True)
def cleared_last() -> Iterator[ExitStack]:
    """Clean up storage; autouse, so that it is torn down last, after everything that a test runs on its storage."""
    with ExitStack() as stack:
        yield stack


def skip_without_storage() -> None:
    lacking = [need for need in STORAGE if not machine_has(need.sign)]
    if lacking:
        pytest.skip(in_words(lacking))


@pytest.fixture
def loop_device(cleared_last: ExitStack, tmp_path: Path) -> Callable[[int], Path]:
    """`loop_device(size_bytes)` is a blank block device with 4 KiB sectors until the test ends."""
    skip_without_storage()
    return lambda size_bytes: cleared_last.enter_context(open_loop_device(size_bytes, tmp_path))


@pytest.fixture
def filesystem(cleared_last: ExitStack, tmp_path: Path) -> Callable[..., Filesystem]:
    """`filesystem(kind="ext4", size_bytes=512 MiB)` is mounted under tmp_path until the test ends."""
    skip_without_storage()

    def make(kind: Kind = "ext4", size_bytes: int = 512 << 20) -> Filesystem:
        return cleared_last.enter_context(mounted_filesystem(kind, size_bytes, tmp_path))

    return make
