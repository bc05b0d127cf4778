"""Verdicts are kept with what they depend on, and no longer published when that has changed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.profiles import codec
from aio_tuned.storage import layout, verified
from aio_tuned.storage.forget import files
from aio_tuned.storage.package import Package
from aio_tuned.storage.profile_store import ProfileStore
from aio_tuned.storage.verified import Kept
from unit.support.builders import profile
from unit.support.verdicts import not_better, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.profile import Profile
    from aio_tuned.model.verdict import Verdict

NAME, ID = profile().device.name, profile().device.id


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A file of the consumer's release, in a folder as pip makes it."""
    file = tmp_path / "site-packages/deepspeed-0.19.8.dist-info/METADATA"
    file.parent.mkdir(parents=True)
    file.write_text("Version: 0.19.8\n")
    return file


def keep(tmp_path: Path, release: Path, *verdicts: Verdict) -> Path:
    kept = [Kept(verdict=each, fingerprint=profile().fingerprint, package=Package.at(release)) for each in verdicts]
    return verified.save(tmp_path / "state", NAME, ID, kept)


def published(tmp_path: Path, shown: Profile, *, holds: bool = True) -> Profile:
    """What readers find when the daemon has published the profile."""
    store = ProfileStore(tmp_path / "etc", tmp_path / "state", lambda _verdict, _profile: holds)
    assert store.publish(shown)
    return codec.parse((tmp_path / f"etc/{NAME}.toml").read_text())


def test_what_is_kept_is_found_again(tmp_path: Path, release: Path) -> None:
    path = keep(tmp_path, release, verdict(), not_better(consumer="lmcache"))
    assert path == tmp_path / f"state/verified/{NAME}.toml"
    found = verified.load(tmp_path / "state", NAME, ID)
    assert [each.verdict for each in found] == [verdict(), not_better(consumer="lmcache")]
    assert {each.fingerprint for each in found} == {profile().fingerprint}
    assert {each.package for each in found} == {Package.at(release)}


def test_another_drive_of_that_name_has_none(tmp_path: Path, release: Path) -> None:
    keep(tmp_path, release, verdict())
    assert verified.load(tmp_path / "state", NAME, "eui.another") == ()


@pytest.mark.parametrize("text", ["", "schema = 2", "not toml", 'schema = 1\nid = "x"\n[verified_deepspeed]\n'])
def test_a_damaged_file_holds_no_verdict(tmp_path: Path, release: Path, text: str) -> None:
    keep(tmp_path, release, verdict()).write_text(text)
    assert verified.load(tmp_path / "state", NAME, ID) == ()
    assert published(tmp_path, profile()) == profile()


def test_a_file_that_others_may_write_holds_no_verdict(tmp_path: Path, release: Path) -> None:
    keep(tmp_path, release, verdict()).chmod(0o666)
    assert verified.load(tmp_path / "state", NAME, ID) == ()


def test_the_daemon_puts_the_verdict_into_the_profile(tmp_path: Path, release: Path) -> None:
    keep(tmp_path, release, verdict())
    assert published(tmp_path, profile()).verified == (verdict(),)


def test_the_verdict_is_dropped_with_another_fingerprint(tmp_path: Path, release: Path) -> None:
    keep(tmp_path, release, verdict())
    changed = replace(profile(), fingerprint=replace(profile().fingerprint, firmware="new"))
    assert published(tmp_path, changed).verified == ()


def test_the_verdict_is_dropped_while_the_profile_is_stale(tmp_path: Path, release: Path) -> None:
    keep(tmp_path, release, verdict())
    assert published(tmp_path, profile().doubted("firmware changed")).verified == ()


def test_the_verdict_is_dropped_with_other_settings(tmp_path: Path, release: Path) -> None:
    keep(tmp_path, release, verdict())
    assert published(tmp_path, profile(), holds=False).verified == ()


def test_the_verdict_is_dropped_when_the_release_is_removed_or_replaced(tmp_path: Path, release: Path) -> None:
    keep(tmp_path, release, verdict())
    os.utime(release, ns=(1, 1))
    assert published(tmp_path, profile()).verified == ()
    keep(tmp_path, release, verdict())
    assert published(tmp_path, profile()).verified == (verdict(),)
    release.parent.rename(release.parent.with_name("deepspeed-0.20.0.dist-info"))
    assert published(tmp_path, profile()).verified == ()


def test_a_release_in_a_folder_that_cannot_be_seen_counts_as_unchanged(tmp_path: Path, release: Path) -> None:
    """The service may be in another mount namespace than the consumer."""
    keep(tmp_path, release, verdict())
    (tmp_path / "site-packages").rename(tmp_path / "elsewhere")
    assert published(tmp_path, profile()).verified == (verdict(),)


def test_a_review_publishes_what_has_changed_without_an_event(tmp_path: Path, release: Path) -> None:
    store = ProfileStore(tmp_path / "etc", tmp_path / "state", lambda _verdict, _profile: True)
    seen: list[tuple[Verdict, ...]] = []
    store.publishing = lambda _name, shown: seen.append(shown.verified if shown else ())
    store.publish(profile())
    store.review()
    assert seen == [()]
    keep(tmp_path, release, verdict())
    store.review()
    store.review()
    assert seen == [(), (verdict(),)]
    release.unlink()
    store.review()
    assert seen == [(), (verdict(),), ()]
    assert codec.parse((tmp_path / f"etc/{NAME}.toml").read_text()) == profile()
    store.withdraw(NAME)
    store.review()
    assert not (tmp_path / f"etc/{NAME}.toml").exists()


def test_the_catalog_keeps_no_verdict(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "etc", tmp_path / "state")
    store.save(replace(profile(), verified=(verdict(),)))
    found = store.load(NAME)
    assert found == profile()


def test_forget_removes_the_verdicts(tmp_path: Path, release: Path) -> None:
    path = keep(tmp_path, release, verdict())
    assert path in files(tmp_path / "etc", tmp_path / "state", NAME)
    assert layout.verdicts_file(tmp_path / "state", NAME) == path
