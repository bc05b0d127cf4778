from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.errors import ConfigError
from aio_tuned.model.profile import Unmeasured
from aio_tuned.profiles import codec
from aio_tuned.profiles.files import load_profile
from aio_tuned.storage.layout import catalog_folder
from aio_tuned.storage.profile_store import ProfileStore, apply_override
from unit.support.builders import device_info, never_measured_profile, result, setting
from unit.support.builders import profile as a_profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aio_tuned.model.profile import Profile

NAME = device_info().name
OVERRIDE = "[read]\nqueue_depth = 64\n"


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    return tmp_path / "etc"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def store(profiles: Path, state: Path) -> ProfileStore:
    return ProfileStore(profiles, state)


def of_drive(name: str) -> Profile:
    return a_profile(device=device_info(id=f"eui.{name}", name=name))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def override(profiles: Path, text: str, name: str = NAME) -> None:
    folder = profiles / "override.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(text)


# --- what readers find -----------------------------------------------------------------------------------


def test_put_and_withdraw(store: ProfileStore, profiles: Path) -> None:
    assert store.publish(a_profile())
    assert names(profiles) == [f"{NAME}.toml"]
    assert load_profile(profiles / f"{NAME}.toml") == a_profile()
    newer = a_profile(read=result(throughput_bytes_per_s=6_500_000_000))
    assert store.publish(newer)
    assert load_profile(profiles / f"{NAME}.toml") == newer
    store.withdraw(NAME)
    assert names(profiles) == []
    store.withdraw(NAME)
    assert not store.pending
    assert store.troubles == {}


def test_the_same_profile_is_not_written_again(store: ProfileStore, profiles: Path) -> None:
    store.publish(a_profile())
    before = (profiles / f"{NAME}.toml").stat()
    assert store.publish(a_profile())
    after = (profiles / f"{NAME}.toml").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("content", [b"half a profi", b"\xff\xfe", b""])
def test_a_torn_file_is_replaced(store: ProfileStore, profiles: Path, content: bytes) -> None:
    profiles.mkdir()
    (profiles / f"{NAME}.toml").write_bytes(content)
    assert store.publish(a_profile())
    assert load_profile(profiles / f"{NAME}.toml") == a_profile()


def test_what_cannot_be_written_is_tried_again(store: ProfileStore, profiles: Path) -> None:
    profiles.write_text("a file where the folder should be")
    assert not store.publish(a_profile())
    assert store.pending
    assert "cannot be written" in store.troubles[NAME]
    assert not store.retry()
    # What is wanted last counts.
    newer = a_profile(read=result(throughput_bytes_per_s=6_500_000_000))
    assert not store.publish(newer)
    assert not store.shows(NAME)
    profiles.unlink()
    assert store.retry()
    assert store.shows(NAME)
    assert load_profile(profiles / f"{NAME}.toml") == newer
    assert not store.pending
    assert store.troubles == {}


def test_one_that_cannot_be_written_does_not_keep_the_others_back(store: ProfileStore, profiles: Path) -> None:
    (profiles / "a.toml").mkdir(parents=True)
    assert not store.publish(of_drive("a"))
    assert store.publish(of_drive("b"))
    assert load_profile(profiles / "b.toml") == of_drive("b")
    assert set(store.troubles) == {"a"}


def test_one_that_could_not_be_written_may_be_withdrawn_before_it_was(store: ProfileStore, profiles: Path) -> None:
    profiles.write_text("")
    store.publish(a_profile())
    profiles.unlink()
    profiles.mkdir()
    store.withdraw(NAME)
    assert names(profiles) == []
    assert not store.pending
    assert store.troubles == {}


def test_what_cannot_be_removed_is_tried_again(store: ProfileStore, profiles: Path) -> None:
    (profiles / f"{NAME}.toml").mkdir(parents=True)
    store.withdraw(NAME)
    assert store.pending
    assert "cannot be removed" in store.troubles[NAME]
    (profiles / f"{NAME}.toml").rmdir()
    assert store.retry()
    assert store.troubles == {}


# --- the catalog -----------------------------------------------------------------------------------------


def test_what_is_remembered_is_recalled(store: ProfileStore, profiles: Path, state: Path) -> None:
    assert store.load(NAME) is None
    assert store.load_all() == ()
    assert store.save(a_profile())
    assert names(catalog_folder(state)) == [f"{NAME}.toml"]
    store.save(of_drive("a"))
    for again in (store, ProfileStore(profiles, state)):
        assert again.load(NAME) == a_profile()
        assert again.load_all() == (of_drive("a"), a_profile())
    assert names(profiles) == []


def test_a_withdrawn_profile_stays_in_the_catalog(store: ProfileStore) -> None:
    store.save(a_profile())
    store.publish(a_profile())
    store.withdraw(NAME)
    assert store.load(NAME) == a_profile()


def test_what_the_catalog_cannot_take_is_recalled_all_the_same(store: ProfileStore, state: Path) -> None:
    store.save(a_profile())
    catalog_folder(state).rename(state / "moved")
    catalog_folder(state).write_text("")
    newer = a_profile(read=result(throughput_bytes_per_s=6_500_000_000))
    assert not store.save(newer)
    assert store.pending
    assert NAME in store.troubles
    assert store.load(NAME) == newer
    assert store.load_all() == (newer,)
    catalog_folder(state).unlink()
    (state / "moved").rename(catalog_folder(state))
    assert store.load(NAME) == newer
    assert store.load_all() == (newer,)  # the older one in the catalog does not count beside it
    assert store.retry()
    assert load_profile(catalog_folder(state) / f"{NAME}.toml") == newer
    assert not store.pending
    assert store.troubles == {}


def test_readers_find_what_the_catalog_cannot_take(store: ProfileStore, profiles: Path, state: Path) -> None:
    state.write_text("")
    assert not store.save(a_profile())
    assert store.publish(a_profile())
    assert store.shows(NAME)
    assert load_profile(profiles / f"{NAME}.toml") == a_profile()
    assert NAME in store.troubles


def test_what_another_process_adds_to_the_catalog_is_seen(store: ProfileStore, profiles: Path, state: Path) -> None:
    store.save(a_profile())
    assert store.load(NAME) == a_profile()
    newer = a_profile(read=result(throughput_bytes_per_s=6_500_000_000))
    ProfileStore(profiles, state).save(newer)
    assert store.load(NAME) == newer
    (catalog_folder(state) / f"{NAME}.toml").unlink()
    assert store.load(NAME) is None


def test_what_still_cannot_be_written_is_logged_once(
    store: ProfileStore, profiles: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        for times in (1, 2):
            profiles.write_text("a file where the folder should be")
            store.publish(a_profile(read=result(throughput_bytes_per_s=times * 1_000_000_000)))
            for _ in range(3):
                assert not store.retry()
            # The override cannot be read, and the profile cannot be written.
            assert len(caplog.records) == 2 * times
            profiles.unlink()
            assert store.retry()
            (profiles / f"{NAME}.toml").unlink()
            profiles.rmdir()


@pytest.mark.parametrize("content", [b"", b"half a profi", b"\xff\xfe", b"schema = 99\n"])
def test_a_broken_file_of_the_catalog_does_not_count_and_is_complained_of_once(
    store: ProfileStore, state: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(of_drive("a"))
    broken = catalog_folder(state) / f"{NAME}.toml"
    broken.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert store.load(NAME) is None
            assert store.load_all() == (of_drive("a"),)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{broken}: ")
    assert store.save(a_profile())
    assert store.load(NAME) == a_profile()


def test_what_is_no_profile_is_left_out_of_the_catalog(store: ProfileStore, state: Path) -> None:
    store.save(a_profile())
    for name in (f".{NAME}.toml.abc", ".hidden.toml", "notes.txt"):
        (catalog_folder(state) / name).write_text(codec.render(of_drive("a")))
    assert store.load_all() == (a_profile(),)


# --- drives that are not there ---------------------------------------------------------------------------


def test_the_profiles_of_absent_drives_are_withdrawn(store: ProfileStore, profiles: Path, state: Path) -> None:
    for name in ("here", "gone", "gone-unmeasured"):
        store.publish(of_drive(name))
    store.publish(replace(never_measured_profile(), device=device_info(name="gone-unmeasured")))
    others = {"aio-tuned.conf": "", ".gone.toml.x1": "half", "mine.toml": "x = 1\n", "README": "hello"}
    for name, text in others.items():
        (profiles / name).write_text(text)
    # A copy that somebody has made is his own.
    (profiles / "copy.toml").write_text(codec.render(of_drive("gone")))
    store.withdraw_absent(["here", "here too"])
    assert names(profiles) == sorted([*others, "copy.toml", "here.toml"])
    assert names(catalog_folder(state)) == []


def test_the_catalog_knows_better_than_a_file_that_was_left(store: ProfileStore) -> None:
    store.publish(of_drive("gone"))
    newer = replace(of_drive("gone"), read=result(throughput_bytes_per_s=6_500_000_000))
    store.save(newer)
    store.adopt_published(1)
    assert store.load("gone") == newer


def measured_at(found: Profile, when: str, grid_points: int = 320) -> Profile:
    return replace(found, evidence=replace(found.evidence, measured_at=when, grid_points=grid_points))


@pytest.mark.parametrize("full", [False, True])
def test_what_readers_find_counts_where_the_catalog_lacks_it(
    store: ProfileStore, profiles: Path, state: Path, full: bool
) -> None:
    stale = replace(of_drive("b"), state="stale")
    for found in (of_drive("a"), stale, replace(never_measured_profile(), device=device_info(name="c"))):
        store.publish(found)
    if full:
        state.mkdir()
        catalog_folder(state).write_text("no folder can be made here")
    afresh = ProfileStore(profiles, state)
    afresh.adopt_published(1)
    assert set(afresh.load_all()) == {of_drive("a"), stale}
    assert afresh.pending == full


def test_of_two_measurements_of_a_drive_the_newer_counts(store: ProfileStore) -> None:
    older, newer = (measured_at(of_drive("a"), f"2026-07-0{day}T00:00:00+00:00") for day in (1, 2))
    store.save(older)
    store.publish(newer)
    store.adopt_published(1)
    assert store.load("a") == newer
    store.publish(older)
    store.adopt_published(1)
    assert store.load("a") == newer
    another = replace(measured_at(older, "2026-07-03T00:00:00+00:00"), device=device_info(id="eui.x", name="a"))
    store.publish(another)
    store.adopt_published(1)
    assert store.load("a") == newer, "it is another drive's"


def test_a_part_of_the_grid_is_not_taken_for_a_full_sweep(store: ProfileStore) -> None:
    store.publish(measured_at(of_drive("a"), "2026-07-01T00:00:00+00:00", grid_points=319))
    store.adopt_published(320)
    assert store.load_all() == ()
    store.adopt_published(319)
    assert len(store.load_all()) == 1


def test_an_override_is_not_taken_for_what_was_measured(store: ProfileStore, profiles: Path) -> None:
    override(profiles, OVERRIDE)
    store.publish(a_profile())
    store.adopt_published(1)
    assert store.load(NAME) is None


def test_without_the_folder_nothing_is_to_be_withdrawn(store: ProfileStore, profiles: Path) -> None:
    for _ in range(2):
        store.withdraw_absent([])
        store.adopt_published(1)
        assert not profiles.is_dir()
        profiles.write_text("")
    assert not store.pending


# --- overrides -------------------------------------------------------------------------------------------


def test_an_override_is_laid_over_what_readers_get_only(store: ProfileStore, profiles: Path) -> None:
    override(profiles, OVERRIDE)
    store.save(a_profile())
    assert store.publish(a_profile())
    shown = load_profile(profiles / f"{NAME}.toml")
    assert shown.read == Unmeasured(setting=setting(depth=64, threads=2), overridden=("queue_depth",))
    assert shown == apply_override(a_profile(), profiles)
    assert store.load(NAME) == a_profile()
    assert store.overridden == {NAME}
    assert store.troubles == {}


def test_an_override_that_has_gone_leaves_no_trace(store: ProfileStore, profiles: Path) -> None:
    override(profiles, OVERRIDE)
    store.publish(a_profile())
    (profiles / "override.d" / f"{NAME}.toml").unlink()
    store.publish(a_profile())
    assert load_profile(profiles / f"{NAME}.toml") == a_profile()
    assert store.overridden == set()


def test_a_withdrawn_profile_is_not_overridden(store: ProfileStore, profiles: Path) -> None:
    override(profiles, OVERRIDE)
    store.publish(a_profile())
    store.withdraw(NAME)
    assert store.overridden == set()


def test_an_override_of_another_drive_or_of_nothing_changes_nothing(store: ProfileStore, profiles: Path) -> None:
    override(profiles, OVERRIDE, name="another")
    override(profiles, "")
    store.publish(a_profile())
    assert load_profile(profiles / f"{NAME}.toml") == a_profile()
    assert store.overridden == set()


@pytest.mark.parametrize("text", ["[read]\nqueue_depth = 0\n", "[speed]\nx = 1\n", "half ["])
def test_a_wrong_override_does_not_keep_the_profile_from_readers(
    store: ProfileStore, profiles: Path, text: str
) -> None:
    override(profiles, text)
    assert store.publish(a_profile())
    assert load_profile(profiles / f"{NAME}.toml") == a_profile()
    assert not store.pending
    assert store.shows(NAME)
    assert store.overridden == set()
    assert store.troubles[NAME].startswith(f"{profiles}/override.d/{NAME}.toml: ")
    with pytest.raises(ConfigError):
        apply_override(a_profile(), profiles)
    override(profiles, OVERRIDE)
    assert store.publish(a_profile())
    assert store.troubles == {}
    assert store.overridden == {NAME}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("which", ["override.d", f"override.d/{NAME}.toml"])
@pytest.mark.parametrize("change", [lambda path: path.chmod(0o777), lambda path: os.chown(path, 12345, 0)])
def test_an_override_that_others_can_write_is_not_taken_in(
    store: ProfileStore, profiles: Path, which: str, change: Callable[[Path], None]
) -> None:
    override(profiles, OVERRIDE)
    change(profiles / which)
    assert store.publish(a_profile())
    assert load_profile(profiles / f"{NAME}.toml") == a_profile()
    assert store.troubles[NAME].startswith(f"{profiles / which}: ")
    assert "not trusted: " in store.troubles[NAME]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("change", [lambda path: path.chmod(0o666), lambda path: os.chown(path, 12345, 0)])
def test_a_measured_profile_that_others_can_write_was_not_measured(
    store: ProfileStore, profiles: Path, state: Path, change: Callable[[Path], None]
) -> None:
    store.save(a_profile())
    change(catalog_folder(state) / f"{NAME}.toml")
    assert store.load(NAME) is None
    assert store.load_all() == ()
    (catalog_folder(state) / f"{NAME}.toml").unlink()
    store.publish(a_profile())
    change(profiles / f"{NAME}.toml")
    store.adopt_published(1)
    assert names(catalog_folder(state)) == [], "it is not saved as measured"


def test_an_override_that_cannot_be_read_is_a_trouble(store: ProfileStore, profiles: Path) -> None:
    (profiles / "override.d" / f"{NAME}.toml").mkdir(parents=True)
    assert store.publish(a_profile())
    assert load_profile(profiles / f"{NAME}.toml") == a_profile()
    assert "cannot be read" in store.troubles[NAME]
