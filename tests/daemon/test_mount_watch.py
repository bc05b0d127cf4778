"""Real mounts, in a namespace of their own: nobody else's are heard there."""

# It shares nothing with other tests: it may run beside any of them.

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage
from aio_tuned.devices.mount_monitor import MountWatch
from aio_tuned.service.mount_listener import MountListener
from processes import PATIENCE_S, until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Namespace:
    """A mount namespace, held by a process that sleeps; `proc/self` is that process."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "300"])
        self.proc = folder / "proc"
        self.proc.mkdir()
        (self.proc / "self").symlink_to(f"/proc/{self.process.pid}")
        self.point = folder / "point"
        self.point.mkdir()
        # Until then the namespace is not its own.
        assert until(lambda: (self.proc / "self/comm").read_text() == "sleep\n")

    def run(self, *command: str | Path) -> None:
        storage.run("nsenter", f"--target={self.process.pid}", "--mount", *command)

    def mount(self) -> None:
        self.run("mount", "-t", "tmpfs", "tmpfs", self.point)


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    made = Namespace(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


@pytest.fixture
def watch(namespace: Namespace) -> Iterator[MountWatch]:
    made = MountWatch(namespace.proc)
    yield made
    made.close()


def wakes(watch: MountWatch, seconds: float = PATIENCE_S) -> bool:
    return bool(select.select([watch.fileno()], [], [], seconds)[0])


def test_mount_remount_and_unmount_are_seen(namespace: Namespace, watch: MountWatch) -> None:
    for words in (
        ("mount", "-t", "tmpfs", "tmpfs", namespace.point),
        ("mount", "-o", "remount,ro", namespace.point),
        ("umount", namespace.point),
    ):
        assert not wakes(watch, 0.05)
        namespace.run(*words)
        assert wakes(watch)
        assert watch.changed()
        assert not watch.changed()


def test_the_change_is_known_whoever_polled_for_it(namespace: Namespace, watch: MountWatch) -> None:
    namespace.mount()
    assert watch.changed(), "nobody"
    namespace.run("umount", namespace.point)
    assert wakes(watch)
    wakes(watch, 0)
    assert watch.changed(), "one who looked twice"


def test_several_changes_are_one(namespace: Namespace, watch: MountWatch) -> None:
    for _ in range(3):
        namespace.mount()
    assert watch.changed()
    assert not watch.changed()
    assert not wakes(watch, 0.05)


def test_a_remount_that_is_undone_meanwhile_is_no_change(namespace: Namespace, watch: MountWatch) -> None:
    namespace.mount()
    assert watch.changed()
    namespace.run("mount", "-o", "remount,ro", namespace.point)
    namespace.run("mount", "-o", "remount,rw", namespace.point)
    assert wakes(watch)
    assert not watch.changed()


def test_nothing_else_wakes(namespace: Namespace, watch: MountWatch, tmp_path: Path) -> None:
    namespace.mount()
    assert wakes(watch)
    assert watch.changed()
    (tmp_path / "file").write_bytes(b"x")
    namespace.run("touch", namespace.point / "file")
    namespace.run("cat", "/proc/self/mountinfo")
    (namespace.proc / "self/mountinfo").read_bytes()
    with storage.mount_in(tmp_path, "-t", "tmpfs", "tmpfs"):  # in another namespace
        pass
    assert not wakes(watch, 0.2)
    assert not watch.changed()


def test_the_event_loop_wakes_once_a_change_and_sleeps(namespace: Namespace, watch: MountWatch) -> None:
    async def main() -> list[bool]:
        loop = asyncio.get_running_loop()
        found: list[bool] = []
        changed = asyncio.Event()

        def wake() -> None:
            found.append(watch.changed())
            if found[-1]:
                changed.set()

        loop.add_reader(watch.fileno(), wake)
        for words in (("mount", "-t", "tmpfs", "tmpfs"), ("umount",)):
            changed.clear()
            await asyncio.to_thread(namespace.run, *words, namespace.point)
            await asyncio.wait_for(changed.wait(), PATIENCE_S)
        began = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - began < 0.25
        loop.remove_reader(watch.fileno())
        return found

    found = asyncio.run(main())
    assert found.count(True) == 2
    assert len(found) < 10  # an umount may take two steps


def test_a_listener_hears_what_changes_before_it_starts_and_while_it_pauses(
    namespace: Namespace, watch: MountWatch
) -> None:
    async def main() -> None:
        heard: asyncio.Queue[None] = asyncio.Queue()
        listener = MountListener(watch, 1.0, lambda: heard.put_nowait(None))
        namespace.mount()
        listener.start()
        await asyncio.wait_for(heard.get(), PATIENCE_S)
        namespace.run("umount", namespace.point)  # in the pause, since nothing else runs in this loop
        await asyncio.wait_for(heard.get(), PATIENCE_S)
        await asyncio.to_thread(namespace.mount)
        await asyncio.wait_for(heard.get(), PATIENCE_S)
        listener.stop()

    asyncio.run(main())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_closing_gives_the_descriptors_back(namespace: Namespace) -> None:
    before = descriptors()
    watch = MountWatch(namespace.proc)
    assert descriptors() == before + 2
    assert not os.get_inheritable(watch.fileno())
    watch.close()
    assert descriptors() == before


def test_a_mountinfo_that_cannot_be_followed_is_an_error(tmp_path: Path) -> None:
    before = descriptors()
    folder = tmp_path / "fake"
    with pytest.raises(FileNotFoundError):
        MountWatch(folder)
    (folder / "self").mkdir(parents=True)
    (folder / "self/mountinfo").write_text("")
    with pytest.raises(PermissionError):
        MountWatch(folder)
    assert descriptors() == before
