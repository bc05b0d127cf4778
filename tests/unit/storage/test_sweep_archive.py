"""The archive of finished sweeps: what is kept, for how long, and how it is found again."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aio_tuned.config.load import Config
from aio_tuned.errors import NoProfileError, ProfileError, PublishError, TargetError
from aio_tuned.helper import samples as helper_samples
from aio_tuned.profiles import codec
from aio_tuned.storage import layout, sweep_archive
from unit.support import builders
from unit.support.builders import device_info, evidence, never_measured_profile, setting

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.measurement import Sample
    from aio_tuned.model.profile import Profile

NAME = device_info().name
SAMPLES = tuple(
    replace(builders.sample(setting(depth=1 + number), number=number), at_s=1_764_000_000.125 + number, celsius=41.85)
    for number in range(1, 4)
)
TEXT = helper_samples.to_lines(SAMPLES)


def measured(day: int, *, samples: tuple[Sample, ...] = SAMPLES, name: str = NAME) -> Profile:
    """A sweep on that day of a month, at noon by the clock of somewhere in the east."""
    about = evidence(
        measured_at=f"2026-01-{day:02}T14:00:00+02:00",
        visits=len(samples),
        bytes_read=sum(sample.bytes for sample in samples),
    )
    return builders.profile(evidence=about, device=device_info(name=name))


def catalogue(state: Path, known: Profile, text: str) -> Path:
    """What a version without an archive leaves."""
    folder = layout.catalog_folder(state)
    folder.mkdir(parents=True, exist_ok=True)
    (state / f"{known.device.name}.samples.jsonl").write_text(text)
    path = folder / f"{known.device.name}.toml"
    path.write_text(codec.render(known))
    return path


def stems(state: Path, name: str = NAME) -> list[str]:
    return [path.stem for path in sweep_archive.list_sweeps(state, name)]


# --- keeping ---------------------------------------------------------------------------------------------


def test_a_sweep_is_kept_with_its_samples_for_all_to_read(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        sweep_archive.keep(tmp_path, measured(5), TEXT)
    finally:
        os.umask(before)
    (path,) = sweep_archive.list_sweeps(tmp_path, NAME)
    assert path == tmp_path / "history" / NAME / "20260105T120000Z.toml"
    assert sweep_archive.load(path) == sweep_archive.StoredSweep(profile=measured(5), samples=SAMPLES, path=path)
    assert sweep_archive.names(tmp_path) == (NAME,)
    for folder in (path.parent, path.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o755
    packed = path.with_name("20260105T120000Z.samples.jsonl.gz")
    assert {one.name for one in path.parent.iterdir()} == {path.name, packed.name}
    assert (path.stat().st_mode & 0o777, packed.stat().st_mode & 0o777) == (0o644, 0o644)
    assert gzip.decompress(packed.read_bytes()).decode() == TEXT


def test_the_last_twenty_are_kept_oldest_first(tmp_path: Path) -> None:
    other = replace(measured(1), device=device_info(name="nvme-other"))
    sweep_archive.keep(tmp_path, other, TEXT)
    for day in range(1, 24):
        sweep_archive.keep(tmp_path, measured(day), TEXT)
    assert stems(tmp_path) == [f"202601{day:02}T120000Z" for day in range(4, 24)]
    assert len(list((tmp_path / "history" / NAME).iterdir())) == 40
    assert sweep_archive.names(tmp_path) == (NAME, "nvme-other")


def test_after_a_clock_was_set_back_the_new_one_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(5, 25):
        sweep_archive.keep(tmp_path, measured(day), TEXT)
    # The clock that stamps the sweep is the one that stamps files.
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000 * 10**9)
    sweep_archive.keep(tmp_path, measured(1), TEXT)
    sweep_archive.keep(tmp_path, measured(2), TEXT)
    expected = [f"202601{day:02}T120000Z" for day in (*range(7, 25), 1, 2)]
    assert stems(tmp_path) == expected
    assert sweep_archive.find(Config(state=tmp_path), NAME).profile == measured(2)


def test_a_time_in_the_future_does_not_stay_the_last(tmp_path: Path) -> None:
    sweep_archive.keep(tmp_path, measured(31), TEXT)
    (ahead,) = sweep_archive.list_sweeps(tmp_path, NAME)
    os.utime(ahead, (4_000_000_000, 4_000_000_000))
    sweep_archive.keep(tmp_path, measured(5), TEXT)
    assert stems(tmp_path) == ["20260131T120000Z", "20260105T120000Z"]


def test_the_new_one_is_never_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where files take no times."""
    for day in range(5, 25):
        sweep_archive.keep(tmp_path, measured(day), TEXT)
    for path in sweep_archive.list_sweeps(tmp_path, NAME):
        os.utime(path, (4_000_000_000, 4_000_000_000))
    monkeypatch.setattr(os, "utime", lambda *_, **__: None)
    sweep_archive.keep(tmp_path, measured(1), TEXT)
    assert "20260101T120000Z" in stems(tmp_path)


def test_where_a_copy_has_lost_the_times_the_stamps_order(tmp_path: Path) -> None:
    for day in (9, 7, 8):
        sweep_archive.keep(tmp_path, measured(day), TEXT)
    for path in sweep_archive.list_sweeps(tmp_path, NAME):
        os.utime(path, (1.0, 1.0))
    assert stems(tmp_path) == [f"2026010{day}T120000Z" for day in (7, 8, 9)]


def test_two_sweeps_of_one_second_are_not_taken_for_one(tmp_path: Path) -> None:
    sweep_archive.keep(tmp_path, measured(5), TEXT)
    sweep_archive.keep(tmp_path, measured(5), TEXT)
    with pytest.raises(PublishError, match=r"20260105T120000Z\.toml: already has another sweep of the same second"):
        sweep_archive.keep(tmp_path, replace(measured(5), state="stale"), "")
    (path,) = sweep_archive.list_sweeps(tmp_path, NAME)
    assert sweep_archive.load(path) == sweep_archive.StoredSweep(profile=measured(5), samples=SAMPLES, path=path)
    path.write_text("torn")
    sweep_archive.keep(tmp_path, measured(5), TEXT)
    assert sweep_archive.load(path).profile == measured(5)


@pytest.mark.parametrize("link", ["history", f"history/{NAME}"])
def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path, link: str) -> None:
    victim, state = tmp_path / "victim", tmp_path / "state"
    victim.mkdir()
    (state / link).parent.mkdir(parents=True)
    (state / link).symlink_to(victim)
    with pytest.raises(PublishError, match="is a symbolic link"):
        sweep_archive.keep(state, measured(5), TEXT)
    assert list(victim.iterdir()) == []


def test_samples_that_a_full_disk_left_alone_go_with_the_oldest(tmp_path: Path) -> None:
    sweep_archive.keep(tmp_path, measured(2), TEXT)
    lone = tmp_path / "history" / NAME / "20260101T120000Z.samples.jsonl.gz"
    lone.write_bytes(gzip.compress(TEXT.encode()))
    foreign = lone.with_name("notes.txt")
    foreign.write_text("an administrator's")
    sweep_archive.keep(tmp_path, measured(3), TEXT)
    assert not lone.exists()
    assert foreign.exists()
    assert len(stems(tmp_path)) == 2


def test_what_a_kill_has_left_half_written_goes_an_hour_later(tmp_path: Path) -> None:
    sweep_archive.keep(tmp_path, measured(2), TEXT)
    folder = tmp_path / "history" / NAME
    left = [folder / f".20260101T120000Z.{kind}.abcdefgh" for kind in ("toml", "samples.jsonl.gz")]
    for path in left:
        path.write_text("half")
    sweep_archive.keep(tmp_path, measured(3), TEXT)
    assert all(path.exists() for path in left)
    for path in left:
        os.utime(path, (1.0, 1.0))
    sweep_archive.keep(tmp_path, measured(4), TEXT)
    assert not any(path.exists() for path in left)


def test_what_cannot_be_kept_is_a_publish_error(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("")
    with pytest.raises(PublishError, match="history"):
        sweep_archive.keep(tmp_path, measured(1), TEXT)


@pytest.mark.parametrize("asked", ["is_symlink", "iterdir", "glob"])
def test_no_other_error_leaves_it_without_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    def fail(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(tmp_path), asked, fail)
    with pytest.raises(PublishError, match=r"history.*: Permission denied"):
        sweep_archive.keep(tmp_path, measured(1), TEXT)


def test_a_name_that_no_file_can_have_has_no_sweeps(tmp_path: Path) -> None:
    assert sweep_archive.list_sweeps(tmp_path, "x" * 300) == ()
    with pytest.raises(TargetError, match="neither a path nor a drive"):
        sweep_archive.find(Config(state=tmp_path), "x" * 300)


def test_the_stamp_is_of_the_time_in_utc() -> None:
    assert sweep_archive.stamp(measured(31)) == "20260131T120000Z"
    with pytest.raises(ProfileError, match="measured_at = None is not a time"):
        sweep_archive.stamp(never_measured_profile())
    for wrong in ("yesterday", "", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(ProfileError, match="is not a time"):
            sweep_archive.stamp(builders.profile(evidence=evidence(measured_at=wrong)))


# --- from before there was an archive --------------------------------------------------------------------


def test_the_catalogs_profile_counts_as_a_sweep(tmp_path: Path) -> None:
    path = catalogue(tmp_path, measured(5), TEXT)
    assert sweep_archive.list_sweeps(tmp_path, NAME) == (path,)
    assert sweep_archive.names(tmp_path) == (NAME,)
    assert sweep_archive.load(path) == sweep_archive.StoredSweep(profile=measured(5), samples=SAMPLES, path=path)


def test_samples_of_another_sweep_are_not_taken_for_its_own(tmp_path: Path) -> None:
    path = catalogue(tmp_path, measured(5), helper_samples.to_lines(SAMPLES[:2]))
    assert sweep_archive.load(path).samples == ()
    slower = (*SAMPLES[:2], replace(SAMPLES[2], bytes=SAMPLES[2].bytes // 2))
    path = catalogue(tmp_path, measured(5, samples=slower), TEXT)
    assert sweep_archive.load(path).samples == ()


def test_the_catalogs_profile_is_taken_in_before_it_is_replaced(tmp_path: Path) -> None:
    catalogue(tmp_path, measured(5), TEXT)
    sweep_archive.keep(tmp_path, measured(7), TEXT)
    catalogue(tmp_path, measured(7), TEXT)
    assert stems(tmp_path) == ["20260105T120000Z", "20260107T120000Z"]
    assert [sweep_archive.load(path).samples for path in sweep_archive.list_sweeps(tmp_path, NAME)] == [
        SAMPLES,
        SAMPLES,
    ]


@pytest.mark.parametrize("text", ["", "schema = 1", codec.render(never_measured_profile())], ids=len)
def test_what_is_no_sweep_in_the_catalog_does_not_count(tmp_path: Path, text: str) -> None:
    catalogue(tmp_path, measured(5), TEXT).write_text(text)
    assert sweep_archive.list_sweeps(tmp_path, NAME) == ()
    assert sweep_archive.names(tmp_path) == ()
    sweep_archive.keep(tmp_path, measured(6), TEXT)
    assert stems(tmp_path) == ["20260106T120000Z"]


# --- torn files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        gzip.compress(TEXT.encode())[:-20],
        TEXT.encode(),
        gzip.compress(b"\xff\n"),
        gzip.compress(b"{}\n" * 3),
        gzip.compress(b"[" * 200_000),
        gzip.compress(b"1\n" * 3),
        gzip.compress(b"[]\n" * 3),
        gzip.compress(TEXT.replace('"at_s":', '"at_s":"x",').replace("17640", "").encode()),
    ],
    ids=range(9),
)
def test_torn_samples_are_missing_ones(tmp_path: Path, torn: bytes) -> None:
    sweep_archive.keep(tmp_path, measured(5), TEXT)
    (path,) = sweep_archive.list_sweeps(tmp_path, NAME)
    (path.parent / f"{path.stem}.samples.jsonl.gz").write_bytes(torn)
    assert sweep_archive.load(path) == sweep_archive.StoredSweep(profile=measured(5), samples=(), path=path)


def test_samples_of_older_versions_know_neither_time_nor_temperature(tmp_path: Path) -> None:
    plain = tuple(replace(sample, at_s=None, celsius=None) for sample in SAMPLES)
    text = helper_samples.to_lines(plain).replace(',"at_s":null,"celsius":null', "")
    assert "at_s" not in text
    sweep_archive.keep(tmp_path, measured(5), text)
    assert sweep_archive.load(sweep_archive.list_sweeps(tmp_path, NAME)[0]).samples == plain


def test_a_torn_profile_is_an_error_that_names_its_file(tmp_path: Path) -> None:
    sweep_archive.keep(tmp_path, measured(5), TEXT)
    (path,) = sweep_archive.list_sweeps(tmp_path, NAME)
    path.write_text("schema = ")
    with pytest.raises(ProfileError, match=str(path)):
        sweep_archive.load(path)
    assert sweep_archive.list_sweeps(tmp_path, NAME) == (path,), "whoever lists it says what is wrong with it"


# --- finding ---------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Of a host that knows a drive with three sweeps, two of them on one day, and one with an @ in its name."""
    made = Config(profiles=tmp_path / "etc", state=tmp_path / "var")
    for day in (5, 7):
        sweep_archive.keep(made.state, measured(day), TEXT)
    evening = evidence(measured_at="2026-01-07T18:30:00+00:00")
    sweep_archive.keep(made.state, builders.profile(evidence=evening), "")
    sweep_archive.keep(made.state, measured(9, name="nvme-odd@2026"), TEXT)
    return made


@pytest.mark.parametrize(
    ("target", "stem"),
    [
        (NAME, "20260107T183000Z"),
        (f"{NAME}@20260105T120000Z", "20260105T120000Z"),
        (f"{NAME}@20260105", "20260105T120000Z"),
        (f"{NAME}@20260107T12", "20260107T120000Z"),
        (f"{NAME}@202601", "20260107T183000Z"),
        (f"{NAME}@2026-01-05", "20260105T120000Z"),
        (f"{NAME}@2026-01-07T12:00", "20260107T120000Z"),
        (f"{NAME}@2026-01-07 12:00", "20260107T120000Z"),
        (f"{NAME}@2026-01-07T12:00:00+00:00", "20260107T120000Z"),
        (f"{NAME}@2026-01-07T12:00:00Z", "20260107T120000Z"),
        ("nvme-odd@2026", "20260109T120000Z"),
        ("nvme-odd@2026@20260109", "20260109T120000Z"),
    ],
)
def test_a_sweep_is_found_by_name_and_time(config: Config, target: str, stem: str) -> None:
    assert sweep_archive.find(config, target).path.stem == stem


def test_a_sweep_without_samples_is_found_too(config: Config) -> None:
    assert sweep_archive.find(config, NAME).samples == ()


def test_a_file_means_its_own_sweep_as_it_was_measured(config: Config) -> None:
    config.profiles.mkdir()
    published = config.profiles / f"{NAME}.toml"
    overridden = replace(measured(7), state="stale")
    published.write_text(codec.render(overridden))
    found = sweep_archive.find(config, str(published))
    assert (found.path.stem, found.profile, found.samples) == ("20260107T120000Z", measured(7), SAMPLES)
    assert sweep_archive.find(config, f"{published}@20260105").path.stem == "20260105T120000Z"
    kept = sweep_archive.list_sweeps(config.state, NAME)[0]
    assert sweep_archive.find(config, str(kept)).path == kept
    assert sweep_archive.drive(config, str(kept)) == sweep_archive.ArchivedDrive(
        state=config.state, name=NAME, file=kept
    )


def test_a_file_finds_what_a_version_without_an_archive_has_left(tmp_path: Path) -> None:
    made = Config(profiles=tmp_path / "etc", state=tmp_path / "var")
    known = catalogue(made.state, measured(5), TEXT)
    made.profiles.mkdir()
    published = made.profiles / f"{NAME}.toml"
    published.write_text(codec.render(replace(measured(5), state="stale")))
    assert sweep_archive.find(made, str(published)) == sweep_archive.load(known)
    assert sweep_archive.load(known).samples == SAMPLES
    published.write_text(codec.render(measured(6)))
    assert sweep_archive.find(made, str(published)).path == published


def test_a_torn_file_does_not_hide_the_sweep_before(config: Config) -> None:
    *_, noon, evening = sweep_archive.list_sweeps(config.state, NAME)
    written = evening.stat()
    evening.write_text("")
    os.utime(evening, ns=(written.st_atime_ns, written.st_mtime_ns))
    found = sweep_archive.find(config, NAME)
    assert found.path == noon
    assert found.samples == SAMPLES
    (said,) = found.torn
    assert str(evening) in said
    with pytest.raises(ProfileError, match=str(evening)):
        sweep_archive.find(config, f"{NAME}@20260107T18")


def test_a_file_that_no_archive_knows_is_read_as_it_is(config: Config, tmp_path: Path) -> None:
    lone = tmp_path / "copy.toml"
    lone.write_text(codec.render(measured(1)))
    (tmp_path / "copy.samples.jsonl").write_text(TEXT)
    assert sweep_archive.find(config, str(lone)) == sweep_archive.StoredSweep(
        profile=measured(1), samples=SAMPLES, path=lone
    )


def test_a_folder_of_tune_out_has_a_history_of_its_own(config: Config, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep_archive.keep(out, measured(20), TEXT)
    file = out / f"{NAME}.toml"
    file.write_text(codec.render(measured(20)))
    assert sweep_archive.drive(config, str(file)).state == out
    assert sweep_archive.find(config, str(file)).path == out / "history" / NAME / "20260120T120000Z.toml"


@pytest.mark.parametrize(
    ("target", "error", "says"),
    [
        ("nvme-none", TargetError, "nvme-none: neither a path nor a drive with a sweep in .*; aio-tuned history"),
        ("nvme-none@2026", TargetError, "nvme-none: neither"),
        ("/no/such/place", TargetError, "/no/such/place: neither"),
        (f"{NAME}@1999", NoProfileError, "no sweep of 1999 in .*; see aio-tuned history"),
    ],
)
def test_what_is_not_there_is_said(config: Config, target: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        sweep_archive.find(config, target)


def test_a_file_that_is_no_profile_is_an_error(config: Config, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("x = 1")
    with pytest.raises(ProfileError, match=r"x\.toml"):
        sweep_archive.find(config, str(tmp_path / "x.toml"))


def test_a_drive_without_sweeps_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoProfileError, match=r"nvme-new: no finished sweep in .*; run aio-tuned tune"):
        sweep_archive.sweeps(sweep_archive.ArchivedDrive(state=tmp_path, name="nvme-new"))
