"""The files of [[export]] rules follow the profile, the drive of the path, and the configuration."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.config.export_rules import ExportRule
from aio_tuned.config.load import Config
from aio_tuned.errors import TargetError
from aio_tuned.service.export_files import ExportFiles
from aio_tuned.service.export_places import ExportPlaces
from aio_tuned.storage.profile_store import ProfileStore
from unit.support.builders import device_info, profile, result, setting
from unit.support.disks import disk_of
from unit.support.limits import files_no_larger_than
from unit.support.unchanged import state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from aio_tuned.model.profile import Profile
    from aio_tuned.reader.types import Disk


def of_drive(name: str, block: int = 1 << 20) -> Profile:
    return profile(device=device_info(name=name, id=name), read=result(setting=setting(block=block)))


A, B = of_drive("drive-A", 128 << 10), of_drive("drive-B", 256 << 10)


class World:
    """The files of one daemon, with the drives that a test puts at each path."""

    def __init__(self, root: Path) -> None:
        self.drives: dict[Path, Disk] = {}
        self.data = root / "mnt"
        self.folder = root / "export"
        self.config = Config(
            profiles=root / "etc", state=root / "state", runtime=root / "run", export_folders=(self.folder,)
        )
        self.changes = 0
        self.restart()

    def restart(self) -> None:
        self.store = ProfileStore(self.config.profiles, self.config.state)
        self.files = ExportFiles(lambda: self.config, self.find, self.changed)
        self.store.publishing = self.files.publishing

    def changed(self) -> None:
        self.changes += 1

    def find(self, path: Path) -> Disk:
        if path in self.drives:
            return self.drives[path]
        raise TargetError(f"{path}: on no drive")

    def rule(self, name: str = "a.env", path: str = "a", **changes: Any) -> ExportRule:  # noqa: ANN401 - any field
        made = ExportRule(consumer="env", path=self.data / path, file=self.folder / name)
        made = replace(made, **changes)
        self.config = replace(self.config, export=(*self.config.export, made))
        return made

    def values(self, name: str = "a.env") -> dict[str, str]:
        lines = (self.folder / name).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    def block(self, name: str = "a.env") -> int | None:
        found = self.values(name).get("AIO_TUNED_READ_BLOCK_SIZE")
        return None if found is None else int(found)

    def states(self) -> list[str]:
        return [status.state for status in self.files.statuses]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


@asynccontextmanager
async def following(world: World) -> AsyncIterator[None]:
    await world.files.begin()
    await world.files.update()
    task = asyncio.ensure_future(world.files.follow())
    try:
        yield
    finally:
        task.cancel()
        world.files.close()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - nobody tells when a file has changed
        await asyncio.sleep(0.01)


# --- profiles --------------------------------------------------------------------------------------------


def test_the_file_is_written_before_the_profile_is_there_to_be_read(world: World) -> None:
    rule = world.rule()
    world.drives[rule.path] = disk_of(A)
    seen: list[tuple[int | None, bool]] = []

    async def work() -> None:
        await world.files.begin()
        before = world.store.publishing

        def publishing(name: str, known: Profile | None) -> None:
            before(name, known)
            seen.append((world.block(), (world.config.profiles / f"{name}.toml").exists()))

        world.store.publishing = publishing
        world.store.publish(A)
        changed = replace(A, read=result(setting=setting(block=512 << 10)))
        world.store.publish(changed)

    run(work())
    assert seen == [(128 << 10, False), (512 << 10, True)]
    assert world.states() == ["settings"]


def test_an_override_is_in_it(world: World) -> None:
    rule = world.rule()
    world.drives[rule.path] = disk_of(A)
    override = world.config.profiles / "override.d/drive-A.toml"
    override.parent.mkdir(parents=True, mode=0o755)
    override.write_text('[read]\nblock_size = "4M"\n')

    async def work() -> None:
        await world.files.begin()
        world.store.publish(A)

    run(work())
    assert world.block() == 4 << 20


def test_only_the_rules_of_that_drive_are_written(world: World) -> None:
    one, other = world.rule(), world.rule("b.env", "b")
    world.drives |= {one.path: disk_of(A), other.path: disk_of(B)}

    async def work() -> None:
        await world.files.begin()
        world.store.publish(A)
        assert not other.file.exists()
        world.store.publish(B)
        assert (world.block(), world.block("b.env")) == (128 << 10, 256 << 10)

    run(work())


def test_a_profile_with_the_name_of_another_drive_is_not_taken(world: World) -> None:
    rule = world.rule()
    world.drives[rule.path] = disk_of(A)

    async def work() -> None:
        await world.files.begin()
        world.store.publish(replace(A, device=device_info(name="drive-A", id="another id")))
        await world.files.update()

    run(work())
    assert world.block() is None
    assert "the profile of another drive" in rule.file.read_text()


def test_a_withdrawn_profile_leaves_no_settings_and_says_so(world: World) -> None:
    rule = world.rule()
    world.drives[rule.path] = disk_of(A)

    async def work() -> None:
        async with following(world):
            world.store.publish(A)
            assert world.block() == 128 << 10
            world.store.withdraw("drive-A")
            assert world.values() == {}
            assert "the profile of drive-A was withdrawn" in rule.file.read_text()
            del world.drives[rule.path]
            await until(lambda: "on no drive" in rule.file.read_text())
            assert world.states() == ["defaults"]
            assert world.files.troubles == ()

    run(work())


def test_published_profiles_of_drives_that_the_daemon_does_not_manage_count_too(world: World) -> None:
    world.store.publish(A)
    rule = world.rule()
    world.restart()
    world.drives[rule.path] = disk_of(A)
    run(world.files.update())
    assert world.block() == 128 << 10


# --- mounts ----------------------------------------------------------------------------------------------


def test_a_mount_and_an_unmount_change_the_file(world: World) -> None:
    rule = world.rule()
    world.store.publish(A)
    world.store.publish(B)

    async def work() -> None:
        async with following(world):
            assert world.values() == {}
            world.drives[rule.path] = disk_of(A)
            world.files.look()
            await until(lambda: world.block() == 128 << 10)
            world.drives[rule.path] = disk_of(B)
            world.files.look()
            await until(lambda: world.block() == 256 << 10)
            del world.drives[rule.path]
            world.files.look()
            await until(lambda: world.block() is None)
            assert world.files.statuses[0].reason == f"{rule.path}: on no drive"

    run(work())


def test_a_look_that_changes_nothing_reads_no_profile_and_writes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = world.rule()
    world.drives[rule.path] = disk_of(A)
    world.store.publish(A)

    async def work() -> None:
        await world.files.update()
        before = state_of(rule.file)
        monkeypatch.setattr("aio_tuned.service.export_files.find_disk_profile", lambda *_: pytest.fail("read"))
        world.files.look()
        await world.files.update()
        assert state_of(rule.file) == before

    run(work())


def test_a_hundred_rules_of_a_drive_read_its_profile_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from aio_tuned.service import export_files

    world.store.publish(A)
    for number in range(100):
        world.drives[world.rule(f"{number}.env", f"{number}").path] = disk_of(A)
    reads = 0
    find = export_files.find_disk_profile  # type: ignore[attr-defined]  # it imports it

    def counted(*words: Any) -> object:  # noqa: ANN401 - passed on
        nonlocal reads
        reads += 1
        return find(*words)

    monkeypatch.setattr(export_files, "find_disk_profile", counted)
    run(world.files.update())
    assert world.states() == ["settings"] * 100
    assert {world.block(f"{number}.env") for number in range(100)} == {128 << 10}
    assert reads == 1


def test_a_profile_that_is_published_during_an_update_is_the_one_that_stays(world: World) -> None:
    rules = [world.rule(f"{number}.env", f"{number}") for number in range(3)]
    world.drives |= dict.fromkeys((rule.path for rule in rules), disk_of(A))
    world.store.publish(A)
    newer = replace(A, read=result(setting=setting(block=512 << 10)))

    async def work() -> None:
        update = asyncio.ensure_future(world.files.update())
        while not rules[0].file.exists():  # noqa: ASYNC110 - the update must not get a second turn meanwhile
            await asyncio.sleep(0)
        assert not rules[2].file.exists()
        world.store.publish(newer)
        await update

    run(work())
    assert [world.block(f"{number}.env") for number in range(3)] == [512 << 10] * 3


# --- a path that does not answer -------------------------------------------------------------------------


def test_a_path_that_does_not_answer_holds_up_no_other(world: World) -> None:
    dead, alive = world.rule("dead.env", "dead"), world.rule("alive.env", "alive")
    world.store.publish(A)
    answers = threading.Event()
    asked = []

    def find(path: Path) -> Disk:
        if path == dead.path:
            asked.append(path)
            answers.wait(20)
        return disk_of(A)

    world.files._places = ExportPlaces(find, world.files.look, limit_s=1)

    async def work() -> None:
        async with following(world):
            assert world.block("alive.env") == 128 << 10
            assert world.values("dead.env") == {}
            assert f"{dead.path}: has not responded" in dead.file.read_text()
            world.files._places._limit_s = 15
            start = asyncio.get_running_loop().time()
            for _ in range(5):  # no further thread waits for it, and no look waits for its limit again
                world.files.look(everything=True)
                await world.files.update()
            assert asyncio.get_running_loop().time() - start < 15
            assert len(asked) == 1
            await asyncio.sleep(0.3)  # until no look is due
            answers.set()
            await until(lambda: world.block("dead.env") == 128 << 10)
            assert len(asked) == 2

    run(work())
    assert alive.file.exists()


# --- the configuration -----------------------------------------------------------------------------------


def test_a_reload_writes_new_rules_and_removes_the_files_of_old_ones_that_are_ours(world: World) -> None:
    kept, old = world.rule(), world.rule("old.env")
    world.store.publish(A)
    world.drives[kept.path] = disk_of(A)
    done: list[str] = []

    async def work() -> None:
        async with following(world):
            (world.folder / "theirs.env").write_text("A=1\n")
            assert old.file.exists()
            world.config = replace(world.config, export=(replace(kept, mode=0o600),))
            world.rule("new.env")
            world.files.look(
                everything=True, then=lambda: done.append(str(sorted(path.name for path in world.folder.iterdir())))
            )
            await until(lambda: done)

    run(work())
    assert done == ["['a.env', 'new.env', 'theirs.env']"]
    assert kept.file.stat().st_mode & 0o777 == 0o600
    assert [status.file for status in world.files.statuses] == [str(kept.file), str(world.folder / "new.env")]


def test_files_of_rules_that_went_while_no_daemon_ran_are_removed(world: World) -> None:
    rule = world.rule()
    run(world.files.update())
    assert rule.file.exists()
    world.config = replace(world.config, export=())
    world.restart()
    run(world.files.update())
    assert not rule.file.exists()


def test_a_folder_that_is_no_longer_listed_is_tidied_once(world: World, tmp_path: Path) -> None:
    rule = world.rule()
    run(world.files.update())
    world.config = replace(world.config, export=(), export_folders=(tmp_path / "other",))
    run(world.files.update())
    assert not rule.file.exists()
    assert not (tmp_path / "other").exists(), "no folder is made for nothing"


def test_without_rules_nothing_is_made(world: World) -> None:
    run(world.files.update())
    assert not world.folder.exists()


# --- files that cannot be written ------------------------------------------------------------------------


def test_a_file_that_cannot_be_written_does_not_keep_the_profile_back(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    rule = world.rule()
    world.drives[rule.path] = disk_of(A)
    world.folder.mkdir(mode=0o755)
    rule.file.write_text("A=1\n")

    async def work() -> None:
        await world.files.begin()
        assert world.store.publish(A)
        assert world.store.publish(A)

    run(work())
    assert rule.file.read_text() == "A=1\n"
    assert world.states() == ["failed"]
    assert world.files.troubles == (
        f"[[export]] {rule.file}: not written by aio-tuned, so it is not replaced; remove or rename it",
    )
    assert caplog.text.count("not written by aio-tuned") == 1, "logged once"


def test_what_was_in_the_way_may_go(world: World) -> None:
    rule = world.rule()
    world.drives[rule.path] = disk_of(A)
    world.store.publish(A)
    world.folder.mkdir(mode=0o755)
    rule.file.symlink_to("/etc/passwd")

    async def work() -> None:
        await world.files.update()
        assert world.states() == ["failed"]
        rule.file.unlink()
        world.files.look(everything=True)
        await world.files.update()

    run(work())
    assert world.states() == ["settings"]
    assert world.block() == 128 << 10


def test_a_full_disk_leaves_no_older_settings(world: World) -> None:
    rule = world.rule()
    world.drives[rule.path] = disk_of(A)

    async def work() -> None:
        await world.files.begin()
        world.store.publish(A)
        with files_no_larger_than(10):
            world.store.publish(replace(A, read=result(setting=setting(block=512 << 10))))
        assert not rule.file.exists()
        assert "cannot be written: File too large; it was removed" in world.files.troubles[0]
        assert world.store.retry()
        world.files.look(everything=True)
        await world.files.update()

    run(work())
    assert world.block() == 512 << 10
    assert world.files.troubles == ()


def test_an_error_in_one_rule_is_no_other_rules(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, good = world.rule("broken.env"), world.rule("good.env")
    world.drives[good.path] = disk_of(A)
    world.store.publish(A)
    from aio_tuned.service import export_text

    of_path = export_text.of_path

    def breaks(rule: ExportRule, *words: Any) -> object:  # noqa: ANN401 - passed on
        if rule is broken:
            raise ZeroDivisionError("by zero")
        return of_path(rule, *words)

    monkeypatch.setattr(export_text, "of_path", breaks)
    run(world.files.update())
    assert world.states() == ["failed", "settings"]
    assert "ZeroDivisionError: by zero; report this bug" in world.files.troubles[0]
