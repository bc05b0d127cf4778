"""Waiting for a profile that is sure enough; tests/daemon/test_cli_reader.py waits for states, on real filesystems."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from aio_tuned.cli.main import main
from aio_tuned.errors import Exit, NoProfileError, TimedOutError
from aio_tuned.model.profile import Unmeasured
from aio_tuned.profiles import codec
from aio_tuned.reader import wait
from aio_tuned.reader.types import Disk, FoundProfile
from unit.support.builders import never_measured_profile, profile, read_only_profile, result, setting

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.profile import Confidence, Profile

SOON_S = 0.05
LONG_S = 60.0


def sure(read: str | None, write: str | None = "settled", **changes: Any) -> Profile:  # noqa: ANN401 - any field
    """A profile with these confidences; without one it is of schema 1."""
    schema = 1 if None in (read, write) else 2
    made: Profile = profile(schema=schema, read=result(confidence=read), write=result(confidence=write), **changes)
    return made


class Folder:
    """A folder of profiles with one at the most, which belongs to the drive of every path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "drive.toml"

    def publish(self, found: Profile) -> None:
        made = self.path / "new"
        made.write_text(codec.render(found))
        made.rename(self.file)

    def find(self, path: Path, profiles: Path) -> FoundProfile:
        assert profiles == self.path
        if not self.file.exists():
            raise NoProfileError(f"{path}: there is no profile")
        disk = Disk(id="x", name="drive", model="", serial="", size_bytes=1 << 40, node="/dev/nvme0n1", number="259:0")
        return FoundProfile(path=self.file, profile=codec.parse(self.file.read_text()), disk=disk)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    made = Folder(tmp_path)
    monkeypatch.setattr(wait, "find_profile", made.find)
    return made


def until(folder: Folder, confidence: Confidence | None, *, state: str = "measured", timeout_s: float = SOON_S) -> str:
    """What is waited for and found, or the sentence on what is there instead."""
    try:
        return wait.until(folder.path, state, timeout_s, folder.path, confidence=confidence).profile.state
    except TimedOutError as error:
        return str(error).replace(str(folder.file), "FILE")


@pytest.mark.parametrize(
    ("published", "confidence"),
    [
        (sure("low", "low"), None),
        (sure(None, None), None),
        (sure("bounded", "settled"), "bounded"),
        (sure("settled", "settled"), "settled"),
        (read_only_profile(), "settled"),
        (profile(write=Unmeasured(setting=setting(), overridden=("queue_depth",))), "settled"),
    ],
)
def test_what_is_sure_enough(folder: Folder, published: Profile, confidence: Confidence | None) -> None:
    folder.publish(published)
    assert until(folder, confidence) == "measured"


@pytest.mark.parametrize(
    ("published", "confidence", "instead"),
    [
        (sure("bounded"), "settled", "read is bounded, not settled"),
        (sure("low", "low"), "bounded", "read is low and write is low, not bounded"),
        (sure("settled", "low"), "bounded", "write is low, not bounded"),
        (sure(None), "bounded", "read has no confidence (written by an older version), not bounded"),
    ],
)
def test_what_is_not_sure_enough_is_named_at_the_end(
    folder: Folder, published: Profile, confidence: Confidence, instead: str
) -> None:
    folder.publish(published)
    assert until(folder, confidence) == f"timed out after 0.05 s: FILE: {instead}"


def test_the_end_of_the_time_has_its_own_exit_code(folder: Folder) -> None:
    folder.publish(sure("low"))
    with pytest.raises(TimedOutError, match="read is low, not settled") as raised:
        wait.until(folder.path, "measured", SOON_S, folder.path, confidence="settled")
    assert raised.value.exit_code == Exit.TIMEOUT


def test_settings_that_were_never_measured_are_not_sure(folder: Folder) -> None:
    folder.publish(never_measured_profile())
    assert until(folder, None, state="any") == "provisional"
    assert until(folder, "bounded", state="any") == (
        "timed out after 0.05 s: FILE: no direction was measured, so none is bounded"
    )


def test_the_state_counts_too(folder: Folder) -> None:
    folder.publish(sure("settled", state="stale"))
    assert until(folder, "settled") == "timed out after 0.05 s: FILE: stale, not measured"
    assert until(folder, "settled", state="any") == "stale"


def test_it_ends_as_soon_as_a_surer_one_is_published(folder: Folder) -> None:
    folder.publish(sure("low"))
    missing: list[str] = []

    def better(text: str) -> None:
        """Publish the next one once the present one was looked at, so that the wait must notice each."""
        missing.append(text.partition(": ")[2])
        following = {1: sure("bounded"), 2: sure("settled")}[len(missing)]
        threading.Timer(SOON_S, folder.publish, [following]).start()

    began = time.monotonic()
    found = wait.until(folder.path, "measured", LONG_S, folder.path, better, "settled")
    assert time.monotonic() - began < LONG_S / 2
    assert found.profile == sure("settled")
    assert missing == ["read is low, not settled", "read is bounded, not settled"]


def test_changes_do_not_prolong_the_wait(folder: Folder) -> None:
    folder.publish(sure("low"))
    ended = threading.Event()

    def restless() -> None:
        while not ended.wait(0.01):
            folder.publish(sure("low"))

    thread = threading.Thread(target=restless)
    thread.start()
    try:
        began = time.monotonic()
        assert "read is low, not settled" in until(folder, "settled", timeout_s=0.3)
        assert 0.3 <= time.monotonic() - began < LONG_S / 2
    finally:
        ended.set()
        thread.join()


def test_the_command_ends_with_the_exit_code_of_a_wait(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.publish(sure("bounded"))
    config = folder.path / "aio-tuned.conf"
    config.write_text(f'[paths]\nprofiles = "{folder.path}"\nruntime = "{folder.path}/run"\n')
    words = ["--config", str(config), "wait", str(folder.path), "--timeout", "0.05s"]
    assert main([*words, "--confidence", "settled"]) == Exit.TIMEOUT
    assert f"timed out after 0.05 s: {folder.file}: read is bounded, not settled" in capsys.readouterr().err
    assert main([*words, "--confidence", "bounded"]) == Exit.OK
    assert capsys.readouterr().out == f"{folder.file}: measured (/dev/nvme0n1)\n"
    assert main(words) == Exit.OK
