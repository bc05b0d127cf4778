"""The reader on real filesystems, and in a root that has no more than a container has."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage
from aio_tuned import reader
from aio_tuned.devices import resolve
from aio_tuned.errors import NoProfileError, TargetError
from aio_tuned.profiles import codec
from daemon.publishing import publish
from unit.support import builders

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daemon.loop_drive import LoopDrive

DAEMON = Path(__file__).resolve().parents[2] / "daemon"
MIB = 1 << 20
USER = 54321


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A folder with the profile of another drive in it."""
    folder = tmp_path / "profiles"
    folder.mkdir(mode=0o755)
    (folder / "another.toml").write_text(codec.render(builders.profile()))
    return folder


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_folders_files_and_nodes_of_a_filesystem(
    filesystem: Callable[..., storage.Filesystem],
    mount: Callable[..., Path],
    profiles: Path,
    kind: storage.Kind,
) -> None:
    made = filesystem(kind)
    name = publish(made.path, profiles)
    (made.path / "a/b").mkdir(parents=True)
    (made.path / "a/file").write_bytes(b"x")
    bound = mount("--bind", made.path / "a")
    for path in (made.path, made.path / "a/b", made.path / "a/file", bound, bound / "file", made.device):
        assert path
        found = reader.settings_for(path, profiles=profiles)
        assert (found.source.device, found.queue_depth) == (name, 12)


class Overlay:
    """An overlay whose lower and upper folders are on two drives, each with a profile, and how to look at a path."""

    def __init__(
        self,
        filesystem: Callable[..., storage.Filesystem],
        mount: Callable[..., Path],
        profiles: Path,
        options: str = "",
    ) -> None:
        self._lower, self._upper = filesystem("ext4"), filesystem("ext4")
        self.lower, self.upper = self._lower.path, self._upper.path
        self._mount, self._profiles = mount, profiles
        self.names = {publish(self.lower, profiles, depth=5): "lower", publish(self.upper, profiles, depth=6): "upper"}
        for folder in (self.upper / "up", self.upper / "work", self.lower / "a"):
            folder.mkdir()
        for path in (self.lower / "below", self.lower / "a/deep", self.lower / "changed", self.lower / "gone"):
            path.write_bytes(os.urandom(100_000))
        self.merged = self.over(self.lower, options)

    def over(self, lower: Path | str, options: str = "") -> Path:
        words = f"lowerdir={lower},upperdir={self.upper}/up,workdir={self.upper}/work{options}"
        return self._mount("-t", "overlay", "-o", words, "o")

    def drive(self, path: Path) -> str:
        """Which drive's settings the path gets."""
        return self.names[self.source(path).device]

    def source(self, path: Path) -> reader.Source:
        return reader.settings_for(path, profiles=self._profiles).source


def test_a_file_on_an_overlay_has_the_settings_of_the_drive_that_it_is_read_from(
    filesystem: Callable[..., storage.Filesystem], mount: Callable[..., Path], profiles: Path
) -> None:
    made = Overlay(filesystem, mount, profiles)
    merged = made.merged
    (merged / "new").write_text("x")
    with (merged / "changed").open("ab") as file:
        file.write(b"x")
    (merged / "link").symlink_to("below")
    (merged / "gone").unlink()
    (merged / "gone").write_text("new")
    for name in ("below", "a/deep", "link"):
        assert made.drive(merged / name) == "lower", name
        assert made.source(merged / name).note.endswith("the first write copies it to the upper directory")
    for name in ("new", "changed", "gone"):
        assert made.drive(merged / name) == "upper", name
        assert made.source(merged / name).note == ""
    bound = mount("--bind", merged / "a")
    assert made.drive(bound / "deep") == "lower"
    (merged / "a/one").touch()
    assert made.drive(bound / "one") == "upper"


def test_a_folder_on_an_overlay_has_the_upper_folders_drive_and_a_note(
    filesystem: Callable[..., storage.Filesystem], mount: Callable[..., Path], profiles: Path
) -> None:
    made = Overlay(filesystem, mount, profiles)
    for folder in (made.merged, made.merged / "a"):
        assert made.drive(folder) == "upper"
        assert "an existing file may be on another drive" in made.source(folder).note


def test_a_file_whose_metadata_alone_was_copied_up_is_read_below(
    filesystem: Callable[..., storage.Filesystem], mount: Callable[..., Path], profiles: Path
) -> None:
    made = Overlay(filesystem, mount, profiles, ",metacopy=on")
    (made.merged / "below").chmod(0o600)
    assert (made.upper / "up/below").exists()
    assert made.drive(made.merged / "below") == "lower"


def test_overlays_over_overlays_and_without_an_upper_folder(
    filesystem: Callable[..., storage.Filesystem], mount: Callable[..., Path], profiles: Path, tmp_path: Path
) -> None:
    made = Overlay(filesystem, mount, profiles)
    (made.merged / "new").write_text("x")
    (tmp_path / "top").mkdir()
    (tmp_path / "a:b").mkdir()
    nested = mount("-t", "overlay", "-o", f"lowerdir={tmp_path}/a\\:b:{made.merged}:{tmp_path}/top", "o")
    assert made.drive(nested / "below") == "lower"
    assert made.drive(nested / "new") == "upper"
    with pytest.raises(TargetError, match="whose upper directory is not visible here"):
        made.drive(nested)


def test_what_cannot_be_seen_of_an_overlay_is_refused(
    filesystem: Callable[..., storage.Filesystem], mount: Callable[..., Path], profiles: Path, tmp_path: Path
) -> None:
    made = Overlay(filesystem, mount, profiles)
    (made.merged / "new").write_text("x")
    # The folders' names are now those of other folders, as they may be in a container.
    for folder, name in ((made.upper, "up"), (made.lower, "")):
        other = tmp_path / "others" / folder.name
        (other / name).mkdir(parents=True)
        for file in ("below", "new"):
            (other / name / file).write_text("another file")
        storage.run("mount", "--bind", other, folder)
    try:
        with pytest.raises(TargetError, match=r"whose upper directory \(.*\) is not visible here"):
            made.drive(made.merged)
        for file in ("below", "new"):
            with pytest.raises(TargetError, match="the layer that has the file is not visible here"):
                made.drive(made.merged / file)
    finally:
        for folder in (made.upper, made.lower):
            storage.run("umount", folder)


def test_a_file_on_another_drive_than_its_folder_is_not_swept_by_it(
    filesystem: Callable[..., storage.Filesystem], mount: Callable[..., Path], profiles: Path
) -> None:
    """The scratch file would lie on the upper folder's drive, and readers look at the lower one's."""
    made = Overlay(filesystem, mount, profiles)
    (made.merged / "new").write_text("x")
    assert resolve.resolve(made.merged / "new").directory == made.merged
    with pytest.raises(TargetError, match="not on the drive that gets new files of its directory"):
        resolve.resolve(made.merged / "below")


def test_a_partition_is_on_its_disk(
    partition: Callable[..., tuple[LoopDrive, Path]], mount: Callable[..., Path], profiles: Path
) -> None:
    _, part = partition(size_bytes=97 * MIB)
    storage.run(*storage.MAKE["ext4"], part)
    path = mount(part)
    name = publish(path, profiles)
    assert reader.settings_for(path, profiles=profiles).source.device == name


def test_a_volume_has_its_own(
    disk: Callable[..., LoopDrive], mount: Callable[..., Path], profiles: Path, request: pytest.FixtureRequest
) -> None:
    made = disk()
    name = f"aio-tuned-reader-{os.getpid()}"
    sectors = made.size_bytes // 512
    try:
        storage.run(
            "dmsetup", "create", name, "--uuid", f"READER-{name}", "--table", f"0 {sectors} linear {made.node} 0"
        )
    except OSError as error:
        pytest.skip(f"no device-mapper here: {error}")
    request.addfinalizer(lambda: storage.run("dmsetup", "remove", "--retry", name))
    volume = Path(f"/dev/mapper/{name}")
    storage.run(*storage.MAKE["ext4"], volume)
    path = mount(volume)
    request.addfinalizer(lambda: storage.unmount(path))
    publish(made.node, profiles, depth=5)
    with pytest.raises(NoProfileError, match="has no profile"):
        reader.settings_for(path, profiles=profiles)
    published = publish(path, profiles, depth=6)
    assert published == f"dm-name-{name}"
    assert reader.settings_for(path, profiles=profiles).queue_depth == 6


def test_paths_in_memory_have_none(filesystem: Callable[..., storage.Filesystem], profiles: Path) -> None:
    with pytest.raises(TargetError, match="an in-memory filesystem"):
        reader.settings_for(filesystem("tmpfs").path, profiles=profiles)


# What a container has: its programs, one volume, /proc, and /sys and /etc/aio-tuned read-only; no /dev, no /run.
CONTAINER = """
set -e
root=$1 volume=$2 profiles=$3 mode=$4 python=$5 daemon=$6; shift 6
mount --make-rprivate /
mount -t tmpfs root "$root"
for folder in /usr /bin /lib /lib64 "$daemon" "$@"; do
    [ -e "$folder" ] || continue
    if [ -L "$folder" ]; then cp -P "$folder" "$root$folder"; continue; fi
    mkdir -p "$root$folder"; mount --rbind "$folder" "$root$folder"; mount -o remount,bind,ro "$root$folder"
done
mkdir -p "$root/proc" "$root/sys" "$root/data" "$root/etc/aio-tuned"
mount --rbind /proc "$root/proc"
mount --rbind "$volume" "$root/data"
mount --rbind /sys "$root/sys"; mount -o remount,bind,ro "$root/sys"
mount --rbind "$profiles" "$root/etc/aio-tuned"; mount -o "remount,bind,$mode" "$root/etc/aio-tuned"
exec chroot "$root" "$python" -c '
import json, os, sys
sys.path.insert(0, sys.argv[1])
from aio_tuned import reader
assert not os.path.exists("/dev/null") and not os.path.exists("/run/udev")
found = reader.settings_for("/data", missing="default")
print(json.dumps([found.source.state, found.source.device, found.queue_depth, found.source.note]))
' "$daemon"
"""


def in_container(volume: Path, profiles: Path, root: Path, mode: str = "ro") -> list[str]:
    words: list[str | Path] = [root, volume, profiles, mode, sys.executable, DAEMON]
    return answer("unshare", "--mount", "sh", "-c", CONTAINER, "sh", *words, *{sys.prefix, sys.base_prefix})


def answer(*command: str | Path) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kind", ["ext4", "btrfs"])
def test_in_a_container(
    filesystem: Callable[..., storage.Filesystem], profiles: Path, tmp_path: Path, kind: storage.Kind
) -> None:
    made = filesystem(kind)
    name = publish(made.path, profiles)
    root = tmp_path / "root"
    root.mkdir()
    assert in_container(made.path, profiles, root) == ["measured", name, 12, ""]


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user reaches, with the package in it."""
    with tempfile.TemporaryDirectory(prefix="aio-tuned-test-", dir="/tmp") as folder:
        path = Path(folder)
        shutil.copytree(DAEMON, path / "daemon", ignore=shutil.ignore_patterns("__pycache__"))
        (path / "root").mkdir()
        (path / "profiles").mkdir()
        (path / "data").mkdir()
        storage.run("chmod", "-R", "a+rX", path)
        os.chown(path / "root", USER, USER)
        yield path


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_in_a_container_without_root(
    filesystem: Callable[..., storage.Filesystem], public: Path, request: pytest.FixtureRequest, mode: str
) -> None:
    """The host's root is nobody there: what is trusted is a mount that nobody in there can write to."""
    python = Path("/usr/bin/python3")
    if (
        not python.exists()
        or subprocess.run([python, "-c", "import tomllib"], check=False, stderr=subprocess.DEVNULL).returncode
    ):
        pytest.skip("this system has no Python 3.11 of its own")
    made = filesystem()
    storage.run("mount", "--bind", made.path, public / "data")
    request.addfinalizer(lambda: storage.unmount(public / "data"))
    name = publish(made.path, public / "profiles")
    as_user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "unshare", "--mount", "-r")
    if subprocess.run([*as_user, "true"], check=False, capture_output=True).returncode:
        pytest.skip("users may have no namespaces here")
    folders = [public / "root", public / "data", public / "profiles"]
    found = answer(*as_user, "sh", "-c", CONTAINER, "sh", *folders, mode, python, public / "daemon")
    if mode == "ro":
        assert found == ["measured", name, 12, ""]
    else:
        assert found[0] == "default"
        assert "not trusted: owned by user 65534 instead of root" in found[3]
