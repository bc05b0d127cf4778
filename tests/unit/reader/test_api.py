from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned import reader
from aio_tuned.errors import AioTunedError, NoProfileError, ProfileError, TargetError
from aio_tuned.model.profile import Profile, Skipped, Unmeasured
from aio_tuned.model.setting import DEFAULT_SETTING
from aio_tuned.profiles import codec
from aio_tuned.reader.lookup import find_disk, find_disk_profile
from aio_tuned.reader.section import section
from unit.support import builders
from unit.support.drives import Host
from unit.support.parser_targets import check_limits

if TYPE_CHECKING:
    from aio_tuned.reader.types import Disk, FoundProfile
    from unit.support.drives import Block

WWID = "eui.0025385b21404e5f"
NAME = builders.device().name


TEXT = codec.render(builders.profile())


def number_of(path: Path) -> str:
    status = path.stat()
    return f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"


class World:
    """A made-up /sys in which the test's own folder is on an NVMe drive, and a folder of profiles."""

    def __init__(self, root: Path) -> None:
        self.host = Host(root)
        self.data = root / "data"
        self.profiles = root / "etc"
        for folder in (self.data, self.profiles):
            folder.mkdir(mode=0o755)
        self.run = root / "run"

    def drive(self, number: str | None = None, wwid: str = WWID, place: str = "nvme0/nvme0n1") -> Block:
        made = self.host.block(place, number or number_of(self.data))
        controller = self.host.sys / "devices" / place.partition("/")[0]
        made.device(controller)
        (controller / "model").write_text("Samsung SSD 980 PRO 1TB                 \n")
        (controller / "serial").write_text("S5GXNF0R123456      \n")
        (made.directory / "wwid").write_text(f"{wwid}\n")
        (made.directory / "nsid").write_text("1\n")
        (made.directory / "size").write_text(f"{builders.device().size_bytes // 512}\n")
        return made

    def partition(self, disk: Block, number: str) -> None:
        directory = disk.directory / f"{disk.directory.name}p1"
        directory.mkdir()
        (directory / "partition").write_text("1\n")
        (directory / "dev").write_text(f"{number}\n")
        (self.host.sys / "dev/block" / number).symlink_to(directory)

    def publish(self, text: str | Profile, name: str = NAME) -> Path:
        path = self.profiles / f"{name}.toml"
        path.write_text(text if isinstance(text, str) else codec.render(text))
        path.chmod(0o644)
        return path

    def boot(self, identifier: str) -> None:
        folder = self.host.proc / "sys/kernel/random"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "boot_id").write_text(f"{identifier}\n")

    def disk(self, path: Path | None = None) -> Disk:
        return find_disk(path or self.data, self.host.sys, self.host.proc, self.run)

    def find(self, path: Path | None = None) -> FoundProfile:
        return find_disk_profile(self.disk(path), self.profiles)

    def settings(self, direction: reader.Direction = "read") -> reader.Settings:
        return section(self.find(), direction)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def of(**changes: Any) -> Profile:  # noqa: ANN401 - any field of the drive
    return builders.profile(device=builders.device_info(**changes))


# --- which drive -----------------------------------------------------------------------------------------


def test_a_folder_leads_to_its_drives_profile(world: World) -> None:
    world.drive()
    path = world.publish(builders.profile())
    assert world.settings() == reader.Settings(
        block_size=1 << 20,
        queue_depth=16,
        io_parallelism=2,
        overlap_events=True,
        single_submit=False,
        direction="read",
        throughput_bytes_per_s=6_512_000_000,
        saturating_concurrency=16,
        source=reader.Source("measured", str(path), NAME, "read"),
    )


def test_a_file_on_a_partition_leads_to_the_disk(world: World) -> None:
    world.partition(world.drive("259:7"), number_of(world.data))
    world.publish(builders.profile())
    (world.data / "file").touch()
    assert world.disk(world.data / "file").number == "259:7"
    assert world.find(world.data / "file").profile == builders.profile()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": "eui.1"}, "the profile of another drive"),
        ({"serial": "OTHER"}, "the profile of another drive"),
        ({"model": "Another"}, "the profile of another drive"),
    ],
)
def test_another_drives_profile_under_this_ones_name(world: World, changes: dict[str, str], words: str) -> None:
    world.drive()
    world.publish(of(**changes))
    with pytest.raises(NoProfileError, match=words):
        world.settings()


def test_the_profile_is_found_by_its_wwid_where_the_name_is_another(world: World) -> None:
    world.drive()
    world.publish(of(id="eui.1", serial="A"), "a")
    world.publish("torn = [", "b")
    path = world.publish(builders.profile(), "c")
    assert world.settings().source.file == str(path)


def test_equal_wwids_are_told_apart_by_the_serial(world: World) -> None:
    world.drive()
    world.publish(of(serial="ITS_SISTER", name="sister"), "sister")
    with pytest.raises(NoProfileError, match="no profile in"):
        world.settings()


def test_the_drive_below_is_read_afresh_at_each_call(world: World) -> None:
    made = world.drive()
    world.publish(builders.profile())
    world.settings()
    (made.directory / "wwid").write_text("eui.2\n")  # plugged out, and another in under the same number
    with pytest.raises(NoProfileError, match="another drive"):
        world.settings()


def test_udevs_name_of_a_disk_that_is_not_nvme(world: World) -> None:
    world.host.block("sda", number_of(world.data))
    (world.run / "udev/data").mkdir(parents=True)
    (world.run / "udev/data" / f"b{number_of(world.data)}").write_text(
        "S:disk/by-id/x\nE:ID_BUS=ata\nE:ID_SERIAL=ST_1=2\nE\n\xff\nE:\n"
    )
    assert world.disk().id == "ata-ST_1=2"


def test_a_disk_without_udev_has_its_wwid(world: World) -> None:
    made = world.host.block("sdb", number_of(world.data))
    made.device(world.host.sys / "devices/target")
    (world.host.sys / "devices/target/wwid").write_text("naa.5002538e40a1b2c3\n")
    assert world.disk().id == "naa.5002538e40a1b2c3"


def test_of_a_disk_without_any_identity_the_size_must_be_the_same(world: World) -> None:
    made = world.host.block("vdb", number_of(world.data))
    (made.directory / "size").write_text("2048\n")
    world.boot("b1")
    disk = world.disk()
    assert (disk.id, disk.size_bytes, disk.boot_id) == ("block:vdb", 1 << 20, "b1")
    facts = {"id": disk.id, "name": disk.name, "model": "", "serial": "", "boot_id": "b1"}
    world.publish(of(**facts, size_bytes=1 << 20), disk.name)
    assert world.settings().source[:3:2] == ("measured", disk.name)
    world.publish(of(**facts, size_bytes=1 << 21), disk.name)
    with pytest.raises(NoProfileError, match="another drive"):
        world.settings()


@pytest.mark.parametrize("sectors", ["4096", "", "0"])
def test_a_drive_of_another_size_is_not_measured(world: World, sectors: str) -> None:
    """A serial number cut by a hypervisor, a cloned drive, or a volume that has grown."""
    made = world.drive()
    path = world.publish(builders.profile())
    assert world.settings().source[::4] == ("measured", "")
    (made.directory / "size").write_text(f"{sectors}\n")
    found = world.settings()
    assert (found.queue_depth, found.source.state) == (16, "stale")
    note = f"{path}: measured on a drive of {builders.device().size_bytes} bytes, but /dev/nvme0n1 has"
    assert found.source.note.startswith(note)
    assert world.find().profile.state == "stale"
    assert world.find().profile.evidence.findings[-1] == found.source.note


@pytest.mark.parametrize("now", ["b2", ""])
@pytest.mark.parametrize("sys_name", ["vdb", "nvme0n1"])
def test_an_id_made_of_the_kernels_name_holds_for_one_boot(world: World, sys_name: str, now: str) -> None:
    made = world.host.block(sys_name, number_of(world.data))
    (made.directory / "size").write_text("2048\n")
    world.boot("b1")
    disk = world.disk()
    assert disk.id == f"block:{sys_name}"
    facts = {"id": disk.id, "name": disk.name, "model": "", "serial": "", "size_bytes": 1 << 20}
    world.publish(of(**facts, boot_id="b1"), disk.name)
    assert world.settings().source.state == "measured"
    world.boot(now)
    found = world.settings().source
    assert found.state == "stale"
    assert "before the last boot its name may have belonged to another drive" in found.note
    world.publish(of(**facts), disk.name)  # of an unknown boot
    assert world.settings().source.state == "stale"


def test_an_id_that_lasts_does_not_mind_a_boot(world: World) -> None:
    world.drive()
    world.publish(builders.profile())
    world.boot("b2")
    assert world.settings().source.state == "measured"


def test_paths_that_lead_to_no_drive(world: World) -> None:
    for path, words in (
        (world.data / "missing", "No such file"),
        (world.data, "mountinfo|No such file"),
        (Path("/dev/null"), "not a directory, file or block device"),
        (Path("/tmp/\0"), "null"),
        (Path("/" + "x" * 5000), "too long"),
    ):
        with pytest.raises(TargetError, match=words):
            world.disk(path)


# --- which section ---------------------------------------------------------------------------------------


def test_combined_is_the_measured_direction_where_there_is_only_one(world: World) -> None:
    world.drive()
    world.publish(builders.read_only_profile())
    found = world.settings("combined")
    assert (found.direction, found.source.section) == ("combined", "read")
    assert found.queue_depth == world.settings("read").queue_depth
    assert "asked for reads only" in found.source.note
    with pytest.raises(NoProfileError, match="no settings for write: asked for reads only"):
        world.settings("write")
    lenient = section(world.find(), "write", lenient=True)
    assert (lenient.direction, lenient.source.section) == ("write", "read")


def test_combined_is_rather_the_reads_than_the_writes(world: World) -> None:
    world.drive()
    world.publish(builders.profile(combined=Skipped(skipped="none")))
    assert world.settings("combined").source.section == "read"


@pytest.mark.parametrize(
    ("read_needs", "write_needs", "block", "needs"),
    [(8, 4, 1 << 20, 8), (2, 12, 1 << 20, 12), (99, 4, 1 << 20, 16), (None, 4, 1 << 20, 16), (2, 4, 1 << 18, 16)],
)
def test_both_directions_need_what_the_more_demanding_one_does(
    world: World, read_needs: int | None, write_needs: int, block: int, needs: int
) -> None:
    """The combined setting has 16 in flight; figures for larger blocks than its own say nothing."""
    world.drive()
    both = builders.profile().combined
    assert not isinstance(both, Skipped)
    world.publish(
        builders.profile(
            read=builders.result(saturating_concurrency=read_needs),
            write=builders.result(saturating_concurrency=write_needs),
            combined=replace(both, setting=builders.setting(block=block, depth=16)),
        )
    )
    assert world.settings("combined").saturating_concurrency == needs


def test_nothing_was_measured_at_all(world: World) -> None:
    world.drive()
    nothing = Skipped(skipped="why not")
    world.publish(builders.profile(read=nothing, write=nothing, combined=nothing))
    for direction in reader.DIRECTIONS:
        with pytest.raises(NoProfileError, match="why not"):
            world.settings(direction)


@pytest.mark.parametrize("state", ["provisional", "stale"])
def test_the_state_is_the_profiles(world: World, state: Any) -> None:  # noqa: ANN401 - a Literal
    world.drive()
    world.publish(replace(builders.never_measured_profile(), state=state))
    found = world.settings("write")
    assert found.source.state == state
    assert (found.throughput_bytes_per_s, found.saturating_concurrency) == (None, 8)


def test_overridden_parameters_are_named(world: World) -> None:
    world.drive()
    world.publish(builders.profile(read=Unmeasured(setting=DEFAULT_SETTING, overridden=("queue_depth",))))
    assert world.settings().source.note == "queue_depth set by the administrator"


def test_a_file_from_before_there_was_a_saturating_concurrency(world: World) -> None:
    world.drive()
    world.publish(builders.profile(read=builders.result(saturating_concurrency=None)))
    assert world.settings().saturating_concurrency == 32


# --- which files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "schema number missing"),
        ("[project]\nname = 'x'\n", "not a profile of aio-tuned"),
        ("schema = 3\nnew = true\n", "schema 3 is not supported"),
        ("schema = [", "not valid TOML"),
        # Python 3.12 and later have a deeper stack in repr(), and tomli on 3.10 a limit of its own.
        (
            TEXT.replace("firmware = ", "firmware" + ".x" * 1500 + " = ", 1),
            "too deeply nested|= {.{0,99} is not a str|allowed 1000 parts",
        ),
        (TEXT.replace('state = "measured"', 'state = "better"'), "is not one of provisional, measured, stale"),
        ("x" * (1 << 20) + "x", "bytes long"),
    ],
)
def test_files_that_are_no_profile(world: World, text: str, words: str) -> None:
    world.drive()
    path = world.publish(text)
    with pytest.raises(ProfileError, match=words) as caught:
        world.settings()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_files_that_others_may_write(world: World, mode: int) -> None:
    world.drive()
    world.publish(builders.profile()).chmod(mode)
    with pytest.raises(ProfileError, match=f"not trusted: writable by other users .mode {mode:04o}"):
        world.settings()


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_folder_that_others_may_write(world: World, mode: int) -> None:
    world.drive()
    world.publish(builders.profile())
    world.profiles.chmod(mode)
    with pytest.raises(ProfileError, match="not trusted: writable by other users"):
        world.settings()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_belongs_to_others(world: World, which: str) -> None:
    world.drive()
    path = world.publish(builders.profile())
    os.chown(path if which == "file" else world.profiles, 12345, 0)
    with pytest.raises(ProfileError, match="not trusted: owned by user 12345 instead of root"):
        world.settings()


def test_a_fifo_a_folder_and_a_missing_folder(world: World) -> None:
    world.drive()
    os.mkfifo(world.profiles / f"{NAME}.toml", 0o644)
    with pytest.raises(ProfileError, match="not a regular file"):
        world.settings()
    (world.profiles / f"{NAME}.toml").unlink()
    (world.profiles / f"{NAME}.toml").mkdir()
    with pytest.raises(ProfileError, match="not a regular file"):
        world.settings()
    (world.profiles / f"{NAME}.toml").rmdir()
    world.profiles.rmdir()
    with pytest.raises(NoProfileError, match="no such folder"):
        world.settings()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_a_folder_that_may_be_searched_and_not_read(world: World) -> None:
    world.drive()
    disk = world.disk()
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder)
        path.chmod(0o711)
        (path / "another.toml").write_text(codec.render(builders.profile()))
        os.seteuid(54321)
        try:
            with pytest.raises(NoProfileError, match="no profile in"):
                find_disk_profile(disk, path)
        finally:
            os.seteuid(0)
        (path / f"{NAME}.toml").write_text(codec.render(builders.profile()))
        (path / f"{NAME}.toml").chmod(0o600)
        os.seteuid(54321)
        try:
            with pytest.raises(ProfileError, match="Permission denied"):
                find_disk_profile(disk, path)
        finally:
            os.seteuid(0)


def test_a_replaced_file_is_read_again(world: World) -> None:
    world.drive()
    world.publish(builders.profile())
    assert world.settings().source.state == "measured"
    new = world.publish(builders.profile(state="stale"), "new")
    new.rename(world.profiles / f"{NAME}.toml")
    assert world.settings().source.state == "stale"


# --- the functions that frameworks call, on this machine ---------------------------------------------------


def test_without_a_profile_there_are_defaults_if_the_caller_says_so(tmp_path: Path) -> None:
    with pytest.raises(TargetError):
        reader.settings_for(tmp_path / "none", profiles=tmp_path)
    found = reader.settings_for(tmp_path / "none", "write", missing="default", profiles=tmp_path)
    assert found[:5] == (1 << 20, 8, 1, True, False)
    assert found.direction == "write"
    assert found.source.state == "default"
    assert "No such file" in found.source.note
    everything = reader.drive_settings_for("/proc", missing="default")
    assert [getattr(everything, name).direction for name in reader.DIRECTIONS] == list(reader.DIRECTIONS)
    assert (everything.curves, everything.concurrency) == ((), None)


def test_wrong_arguments_are_the_programmers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="direction 'both' is not one of read, write, combined"):
        reader.settings_for(tmp_path, "both", missing="default")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="missing None is"):
        reader.settings_for(tmp_path, missing=None)  # type: ignore[arg-type]


LOADED = "import json, sys, aio_tuned.reader; print(json.dumps(sorted(sys.modules)))"


def test_importing_it_is_cheap_and_needs_the_standard_library_alone() -> None:
    """What would cost more than all else is loaded at the first call; docs/explanation/benchmarks.md has the time."""
    environment = {"PYTHONPATH": str(builders.PROJECT / "daemon"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, check=True, env=environment)
    modules = set(json.loads(done.stdout))
    ours = {"aio_tuned", "__main__", "sitecustomize"}  # Debian's Python loads its own sitecustomize
    foreign = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - ours
    assert not {name for name in foreign if not name.startswith("_")}, foreign
    assert (
        modules & {"dataclasses", "inspect", "tomllib", "hashlib", "aio_tuned.model", "aio_tuned.profiles.codec"}
        == set()
    )


def test_a_file_that_has_not_changed_is_not_parsed_again(world: World) -> None:
    world.drive()
    world.publish(builders.profile())
    assert world.find().profile is world.find().profile


# --- hostile input -----------------------------------------------------------------------------------------

JUNK = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([b"-", b"9" * 30, b"nan", b"true", b"[[", b'"""', b"\x00", b"\xff", b"[read]\n", b"id = 'x'\n"]),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    content = TEXT.encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.one_of(st.integers(start, len(content)), st.just(start + 1), st.just(start)))
        content = content[:start] + draw(JUNK) + content[end:]
    return content


@pytest.fixture(scope="module")
def same_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """For all examples of a property."""
    world = World(tmp_path_factory.mktemp("mutated"))
    world.drive("259:0")
    world.drive("259:5", "eui.5", "nvme5/nvme5n1")
    world.drive(place="nvme6/nvme6n1")
    world.publish(builders.profile())
    (world.host.proc / "self/fdinfo").mkdir(parents=True)
    for descriptor in range(200):
        (world.host.proc / f"self/fdinfo/{descriptor}").write_text("pos:\t0\nmnt_id:\t36\n")
    return world


@settings(max_examples=300, deadline=None)
@given(content=mutated())
def test_mutated_profiles(same_world: World, content: bytes) -> None:
    same_world.publish("").write_bytes(content)
    try:
        found = same_world.find()
    except AioTunedError:
        return
    assert found.profile.device.id == WWID
    for direction in reader.DIRECTIONS:
        try:
            check_limits(section(found, direction))
        except NoProfileError:
            assert isinstance(getattr(found.profile, direction), Skipped)


MOUNT_LINE = "36 35 0:50 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/l,upperdir={upper},workdir=/w"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutated_mountinfo(same_world: World, data: st.DataObject) -> None:
    """Whatever mountinfo says of a path that is on no block device itself: no other drive's settings come out."""
    same_world.publish(builders.profile())
    link = same_world.host.sys / "dev/block" / number_of(same_world.data)
    target = link.readlink()
    link.unlink()
    filesystem = data.draw(st.sampled_from(["overlay", "btrfs", "tmpfs", "nfs", "ext4"]))
    line = MOUNT_LINE.format(upper=same_world.data).replace("- overlay overlay", f"- {filesystem} /dev/null").encode()
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 12)))
    line = (
        line[:start] + data.draw(st.one_of(JUNK, st.sampled_from([b"259:5", b"259:0", b"/..", b"\\000"]))) + line[end:]
    )
    (same_world.host.proc / "self/mountinfo").write_bytes(line + b"\n")
    try:
        disk = same_world.disk()
    except AioTunedError:
        return
    finally:
        link.symlink_to(target)
    # Only a line that names that drive's number leads to it.
    assert disk.number.encode() in line
    assert disk.id == {"259:0": WWID, "259:5": "eui.5"}[disk.number]
