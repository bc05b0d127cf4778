"""Every kind of target ends in a valid profile of the right drive, proved by that drive's own counters."""

# It has storage of its own and minds no other: it may run beside any other file.

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import storage
from aio_tuned.config.load import Config
from aio_tuned.devices import sysfs
from aio_tuned.devices.resolve import device, resolve
from aio_tuned.storage import sweep_archive
from daemon.conftest import EXPERIMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.conftest import Tuner
    from daemon.loop_drive import LoopDrive

MIB = 1 << 20


def assert_measured(profile: dict[str, Any], device: Path) -> None:
    """Both directions, all points, on that device."""
    assert profile["state"] == "measured", profile["evidence"]["findings"]
    assert profile["evidence"]["points_measured"] == profile["evidence"]["points_planned"]
    for direction in ("read", "write"):
        assert "skipped" not in profile[direction]
        assert profile[direction]["throughput_bytes_per_s"] > 0
    assert_is(profile, device)


def assert_is(profile: dict[str, Any], device: Path) -> None:
    """The profile is of that whole disk."""
    directory = sysfs.directory(sysfs.device_number(device))
    assert profile["device"]["size_bytes"] == sysfs.size_bytes(sysfs.device_number(device))
    # The fixtures unlink their files; the kernel says so, the profile does not.
    backing = sysfs.attribute(directory, "loop/backing_file").removesuffix(" (deleted)")
    assert profile["device"]["id"].endswith((backing, directory.name))


@pytest.mark.parametrize(("kind", "size_mib"), [("ext4", 512), ("xfs", 512), ("btrfs", 640)])
def test_a_filesystem(
    tuner: Tuner,
    filesystem: Callable[..., storage.Filesystem],
    kind: storage.Kind,
    size_mib: int,
) -> None:
    made = filesystem(kind=kind, size_bytes=size_mib * MIB)
    assert made.device is not None
    before = set(made.path.iterdir())
    few = kind == "btrfs"  # two copies of all that is about the data: it takes its time
    if few:
        tuner.configure('[grid]\nblock_size = "1M"\nio_parallelism = 1\n[sweep]\ntime_budget = 15\nbtrfs = "nocow"')
    profile = tuner.profile(made.path)
    assert_measured(profile, made.device)
    evidence = profile["evidence"]
    assert evidence["target"] == f"scratch file on {profile['fingerprint']['filesystem']}"
    assert evidence["points_planned"] > (8 if few else 32)
    assert evidence["visits"] > evidence["points_planned"]
    assert profile["fingerprint"]["filesystem"] == ("btrfs nocow" if few else kind)
    assert set(made.path.iterdir()) == before


def test_what_the_profile_says_was_written_was_written(
    quick: Tuner, filesystem: Callable[..., storage.Filesystem]
) -> None:
    made = filesystem()
    assert made.device is not None

    def sectors() -> tuple[int, int]:
        words = (Path("/sys/block") / made.device.name / "stat").read_text().split()  # type: ignore[union-attr]
        return int(words[2]) * 512, int(words[6]) * 512

    quick.configure(EXPERIMENTS)
    storage.run("sync", "--file-system", made.path)
    before = sectors()
    evidence = quick.profile(made.path)["evidence"]
    after = sectors()
    # What is more is the filesystem's own.
    assert 0 <= after[0] - before[0] - evidence["bytes_read"] < 8 * MIB
    assert 0 <= after[1] - before[1] - evidence["bytes_written"] < 8 * MIB


def test_a_second_sweep_is_held_against_the_first(
    quick: Tuner, filesystem: Callable[..., storage.Filesystem], tmp_path: Path
) -> None:
    made = filesystem()
    name = quick.profile(made.path)["device"]["name"]
    quick.profile(made.path)
    first, second = quick.history(made.path)
    assert first["read"]["change"] is None
    assert isinstance(second["read"]["change"], float)
    assert isinstance(second["write"]["change"], float)
    found = sweep_archive.find(Config(profiles=tmp_path, state=quick.out), f"{name}@{first['sweep']}")
    assert found.path.stem == first["sweep"]
    assert len(found.samples) == found.profile.evidence.visits
    times = [sample.at_s for sample in found.samples if sample.at_s is not None]
    assert len(times) == len(found.samples)
    assert times == sorted(times)
    assert times[-1] <= datetime.strptime(second["sweep"], "%Y%m%dT%H%M%S%z").timestamp()


@pytest.mark.parametrize(
    "way", ["directory", "blank in its name", "file", "bind mount", "symlink", "symlink to a file", "node"]
)
def test_every_way_to_name_a_filesystem(
    quick: Tuner,
    filesystem: Callable[..., storage.Filesystem],
    mount: Callable[..., Path],
    tmp_path: Path,
    way: str,
) -> None:
    made = filesystem()
    assert made.device is not None
    below = made.path / "some" / "where"
    below.mkdir(parents=True)
    content = os.urandom(MIB)
    (below / "file").write_bytes(content)
    targets: dict[str, Callable[[], Path]] = {
        "directory": lambda: below,
        "blank in its name": lambda: below.rename(made.path / "no where\n"),
        "file": lambda: below / "file",
        "bind mount": lambda: mount("--bind", below),
        "symlink": lambda: tmp_path / "link",
        "symlink to a file": lambda: tmp_path / "link to a file",
        "node": lambda: made.device or Path(),
    }
    (tmp_path / "link").symlink_to(below)
    (tmp_path / "link to a file").symlink_to(below / "file")
    assert_measured(quick.profile(targets[way]()), made.device)
    (file,) = made.path.rglob("file")
    assert file.read_bytes() == content
    assert {path.name for path in file.parent.iterdir()} == {"file"}


def test_the_grid_of_defaults_in_part(tuner: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    """A quick sweep of it touches every value of every parameter."""
    made = filesystem(size_bytes=2048 * MIB)
    tuner.config.write_text((Path(__file__).parents[2] / "etc/aio-tuned.conf").read_text())
    profile = tuner.profile(made.path, "--effort", "quick", "--time-budget", "20s")
    evidence = profile["evidence"]
    assert evidence["grid_points"] == 320
    assert evidence["points_measured"] > 100
    for direction in ("read", "write"):
        low, high = profile[direction]["throughput_ci95_bytes_per_s"]
        assert low <= profile[direction]["throughput_bytes_per_s"] <= high


@pytest.mark.long
def test_a_whole_grid_of_defaults(tuner: Tuner, filesystem: Callable[..., storage.Filesystem]) -> None:
    """320 settings a direction, as somebody gets them who types nothing but the command; less time than by default."""
    made = filesystem(size_bytes=2048 * MIB)
    tuner.config.write_text((Path(__file__).parents[2] / "etc/aio-tuned.conf").read_text())
    profile = tuner.profile(made.path, "--time-budget", "80s", "--write-budget", "24G")
    evidence = profile["evidence"]
    assert (profile["state"], evidence["grid_points"]) == ("measured", 320), evidence["findings"]
    assert evidence["points_measured"] == evidence["points_planned"] > 400  # fewer where the drive is slow
    assert evidence["bytes_written"] <= 24 << 30
    for direction in ("read", "write"):
        low, high = profile[direction]["throughput_ci95_bytes_per_s"]
        assert low <= profile[direction]["throughput_bytes_per_s"] <= high
    assert 0.5 < profile["combined"]["read_share"] <= 1
    assert 0.5 < profile["combined"]["write_share"] <= 1


def test_the_root_filesystem(quick: Tuner) -> None:
    status = Path("/").stat()
    node = Path("/sys/dev/block") / f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"
    if not node.exists():
        pytest.skip("the root filesystem has no block device here")
    profile = quick.profile(Path("/"))
    assert profile["state"] == "measured", profile["evidence"]["findings"]
    disk = node.resolve().parent if (node / "partition").exists() else node.resolve()
    assert profile["device"]["size_bytes"] == int((disk / "size").read_text()) * 512


def test_an_overlay_leads_to_its_upper_directory(
    quick: Tuner, filesystem: Callable[..., storage.Filesystem], mount: Callable[..., Path]
) -> None:
    made = filesystem()
    assert made.device is not None
    for name in ("lower", "upper", "work"):
        (made.path / name).mkdir()
    options = ",".join(f"{name}dir={made.path / name}" for name in ("lower", "upper", "work"))
    try:
        overlay = mount("-t", "overlay", "-o", options, "overlay")
    except OSError as error:
        pytest.skip(f"no overlay here: {error}")
    assert_measured(quick.profile(overlay), made.device)


def test_a_raw_device_with_data(tuner: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk()
    for offset in range(0, made.size_bytes, 16 * MIB):
        made.write(offset, os.urandom(16 * MIB))
    profile = tuner.profile(made.node, "--raw", "--time-budget", "10s")
    assert profile["state"] == "measured"
    assert profile["evidence"]["target"] == "raw device"
    assert profile["read"]["throughput_bytes_per_s"] > 0
    assert profile["write"]["skipped"] == "not blank: holds data without a known signature"
    assert profile["combined"] == profile["write"]
    assert profile["evidence"]["bytes_written"] == 0
    assert_is(profile, made.node)


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_both_sizes_of_logical_blocks(
    quick: Tuner, disk: Callable[..., LoopDrive], mount: Callable[..., Path], sector_bytes: int
) -> None:
    made = disk(size_bytes=512 * MIB, sector_bytes=sector_bytes)
    storage.run(*storage.MAKE["ext4"], made.node)
    quick.configure("[grid]\nblock_size = ['4K', '128K']")
    profile = quick.profile(mount(made.node), "--time-budget", "10s")
    assert_measured(profile, made.node)
    assert profile["device"]["logical_block_bytes"] == sector_bytes
    assert profile["fingerprint"]["logical_block_bytes"] == sector_bytes


def test_blocks_of_512_bytes_where_they_can_be(quick: Tuner, disk: Callable[..., LoopDrive]) -> None:
    made = disk(sector_bytes=512)
    made.write(0, os.urandom(made.size_bytes))
    profile = quick.profile(made.node, "--raw", "--grid", "block_size=512,4096")
    assert profile["evidence"]["points_measured"] == 2


@pytest.mark.parametrize("raw", [False, True])
def test_blocks_of_512_bytes_where_they_cannot_be(
    quick: Tuner, disk: Callable[..., LoopDrive], mount: Callable[..., Path], *, raw: bool
) -> None:
    made = disk(size_bytes=512 * MIB, sector_bytes=4096)
    storage.run(*storage.MAKE["ext4"], made.node)
    target = mount(made.node)
    done = quick.run(*([made.node, "--raw"] if raw else [target]), "--grid", "block_size=512,4096")
    assert done.code == 78
    assert "block_size 512" in done.last
    assert "4096" in done.last
    assert quick.published() == {}


def test_a_partition_leads_to_its_whole_disk(
    quick: Tuner, partition: Callable[..., tuple[LoopDrive, Path]], mount: Callable[..., Path]
) -> None:
    whole, part = partition(512 * MIB)
    storage.run(*storage.MAKE["ext4"], part)
    path = mount(part)
    for target in (path, part, whole.node):
        assert_measured(quick.profile(target), whole.node)


@pytest.mark.parametrize("raid", ["md", "dm"])
def test_a_volume_is_tuned_under_its_own_name_and_names_its_members(
    quick: Tuner, disk: Callable[..., LoopDrive], request: pytest.FixtureRequest, mount: Callable[..., Path], raid: str
) -> None:
    first, second = disk(size_bytes=300 * MIB), disk(size_bytes=300 * MIB)
    name = f"aio-tuned-test-{os.getpid()}"
    if raid == "md":
        volume = Path(f"/dev/md/{name}")
        command: tuple[str | Path, ...] = ("mdadm", "--create", volume, "--run", "--level=0", "--raid-devices=2")
        command = (*command, "--metadata=1.2", "--homehost=any", first.node, second.node)
        undo: tuple[str | Path, ...] = ("mdadm", "--stop", volume)
    else:
        volume = Path(f"/dev/mapper/{name}")
        half = 256 * MIB // 512
        table = f"0 {half} linear {first.node} 0\n{half} {half} linear {second.node} 0"
        command, undo = ("dmsetup", "create", name, "--table", table), ("dmsetup", "remove", "--retry", name)
    try:
        storage.run(*command)
    except OSError as error:
        pytest.skip(f"no {raid} here: {error}")
    undone = False

    def stop() -> None:
        nonlocal undone
        if not undone:
            undone = True
            storage.unmount(path)
            storage.run(*undo)

    path = Path()
    request.addfinalizer(stop)
    storage.run(*storage.MAKE["ext4"], volume)
    path = mount(volume)
    profile = quick.profile(path)
    assert profile["state"] == "measured", profile["evidence"]["findings"]
    assert set(profile["device"]["members"]) == {device(resolve(disk.node)).name for disk in (first, second)}
    assert profile["device"]["id"].startswith(f"{raid}-uuid-") or raid == "dm"
    member = quick.run(first.node)
    assert member.code == 66
    assert "member of" in member.last
    stop()
