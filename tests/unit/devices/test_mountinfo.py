from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aio_tuned.devices import mountinfo
from aio_tuned.devices.overlay import _upper
from aio_tuned.errors import TargetError
from aio_tuned.model.device import Mount

ROOT = "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro"


def one(line: str) -> Mount:
    (found,) = mountinfo.parse(line + "\n")
    return found


def test_an_ordinary_line() -> None:
    assert one(ROOT) == Mount(
        id=22,
        device_number="259:2",
        root="/",
        point=Path("/"),
        read_only=False,
        filesystem="ext4",
        source="/dev/nvme0n1p2",
        options=("rw", "relatime", "rw", "errors=remount-ro"),
    )


@pytest.mark.parametrize("optional", ["", "shared:1 ", "shared:1 master:2 ", "master:2 propagate_from:3 unbindable "])
def test_optional_fields_are_any_number(optional: str) -> None:
    found = one(f"22 1 259:2 / /mnt rw {optional}- xfs /dev/nvme0n1 rw")
    assert (found.point, found.filesystem, found.source) == (Path("/mnt"), "xfs", "/dev/nvme0n1")


@pytest.mark.parametrize(
    ("escaped", "point"),
    [
        (r"/mnt/a\040b", "/mnt/a b"),
        (r"/mnt/tab\011newline\012", "/mnt/tab\tnewline\n"),
        (r"/mnt/back\134slash", "/mnt/back\\slash"),
        (r"/mnt/\134040", "/mnt/\\040"),
        (r"/mnt/\043hash", "/mnt/#hash"),
        (r"/mnt/-\040-\040-", "/mnt/- - -"),
        ("/mnt/é😀", "/mnt/é😀"),
        ("/mnt/\udcff", "/mnt/\udcff"),
        (r"/mnt/not\9octal", r"/mnt/not\9octal"),
    ],
)
def test_octal_escapes(escaped: str, point: str) -> None:
    assert one(f"30 22 259:1 {escaped} {escaped} rw - ext4 {escaped} rw") == Mount(
        id=30,
        device_number="259:1",
        root=point,
        point=Path(point),
        read_only=False,
        filesystem="ext4",
        source=point,
        options=("rw", "rw"),
    )


@pytest.mark.parametrize("char", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
def test_the_kernel_ends_a_line_with_a_newline_only(char: str) -> None:
    """seq_path() escapes blank, tab, newline, backslash and #; these stand in mountinfo as they are."""
    text = f"30 22 259:1 / /mnt/a{char}b rw - ext4 /dev/nvme0n1p1 rw\n{ROOT}\n"
    assert [found.point for found in mountinfo.parse(text)] == [Path(f"/mnt/a{char}b"), Path("/")]


@pytest.mark.parametrize(
    ("options", "super_options", "read_only"),
    [("rw", "rw", False), ("ro", "rw", True), ("rw", "ro", True), ("rw,nosuid", "rw,errors=remount-ro", False)],
)
def test_read_only_is_the_mounts_or_the_filesystems(options: str, super_options: str, read_only: bool) -> None:
    assert one(f"30 22 259:1 / /mnt {options} - ext4 /dev/x {super_options}").read_only is read_only


def test_overlay_and_btrfs_and_bind_mounts() -> None:
    overlay = one(
        "40 22 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/var/lib/up\\040per,workdir=/w"
    )
    assert overlay.filesystem == "overlay"
    assert _upper(overlay) == Path("/var/lib/up per")
    btrfs = one("41 22 0:44 /@home /home rw - btrfs /dev/nvme0n1p3 rw,subvolid=256,subvol=/@home")
    assert (btrfs.device_number, btrfs.root, btrfs.source) == ("0:44", "/@home", "/dev/nvme0n1p3")
    assert one("42 22 259:2 /srv/models /models ro - ext4 /dev/nvme0n1p2 rw").root == "/srv/models"


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "x",
        "-",
        " - ",
        "22 1 259:2 / /",
        "22 1 259:2 / / rw ext4 /dev/x rw",
        "22 1 259:2 / / rw - ext4",
        "22 1 259:2 / / rw - ext4 /dev/x",
        "x 1 259:2 / / rw - ext4 /dev/x rw",
        "-1 1 259:2 / / rw - ext4 /dev/x rw",
        "\u00b2 1 259:2 / / rw - ext4 /dev/x rw",
        "\x00",
        "9" * 5000 + " 1 259:2 / / rw - ext4 /dev/x rw",
        "22 1 259:2 / /a\x00b rw - ext4 /dev/x rw",
    ],
)
def test_garbage_is_left_out_and_the_rest_stays(garbage: str) -> None:
    assert [found.id for found in mountinfo.parse(f"{ROOT}\n{garbage}\n{ROOT}")] == [22, 22]


def test_no_name_has_a_nul() -> None:
    """Every call of the kernel with such a name would raise ValueError."""
    assert one("22 1 0:44 / /mnt rw - btrfs /dev/a\\000b rw").source == "/dev/a\\000b"


WORDS = st.lists(st.one_of(st.text(max_size=6), st.sampled_from(["-", "22", "259:1", "/", "rw", "\\040", "\\777"])))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.one_of(st.text(st.characters()), WORDS.map(" ".join)))
@example(ROOT)
def test_no_text_raises(text: str) -> None:
    for found in mountinfo.parse(text):
        assert isinstance(found, Mount)


# --- this machine's own ----------------------------------------------------------------------------------


def test_the_mount_of_a_path_is_the_kernels() -> None:
    table = mountinfo.read()
    found = mountinfo.find_mount(Path("/proc"), table)
    assert (found.point, found.filesystem) == (Path("/proc"), "proc")


def test_a_path_whose_mount_is_not_listed(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="missing in /proc/self/mountinfo"):
        mountinfo.find_mount(tmp_path, ())


def test_mountinfo_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_bytes(b"30 22 259:1 / /mnt/\xff rw - ext4 /dev/x rw\n")
    (found,) = mountinfo.read(tmp_path)
    assert os.fsencode(found.point) == b"/mnt/\xff"


def test_a_carriage_return_in_a_mount_point_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_bytes(b"30 22 259:1 / /mnt/a\rb rw - ext4 /dev/x rw\n")
    assert [found.point for found in mountinfo.read(tmp_path)] == [Path("/mnt/a\rb")]


# --- which device a filesystem is on ---------------------------------------------------------------------


def table_of(path: Path, filesystem: str, number: str, source: str = "none", options: str = "rw") -> tuple[Mount, ...]:
    """The mount that `path` really is on, as if it were of that kind."""
    real = mountinfo.find_mount(path, mountinfo.read())
    return (
        Mount(
            id=real.id,
            device_number=number,
            root="/",
            point=real.point,
            read_only=False,
            filesystem=filesystem,
            source=source,
            options=tuple(options.split(",")),
        ),
    )


def test_an_ordinary_filesystem_leads_to_its_device(tmp_path: Path) -> None:
    (tmp_path / "dev/block/259:1").mkdir(parents=True)
    number, found = mountinfo.block_device_number(tmp_path, table_of(tmp_path, "ext4", "259:1"), tmp_path)
    assert (number, found.filesystem) == ("259:1", "ext4")


@pytest.mark.parametrize(
    ("filesystem", "words"),
    [
        ("tmpfs", "tmpfs is an in-memory filesystem"),
        ("nfs4", "network filesystem"),
        ("9p", "filesystem of the host"),
        ("zfs", "no block device"),
        ("fuse.sshfs", "has no block device to tune"),
    ],
)
def test_filesystems_without_a_device_say_why(tmp_path: Path, filesystem: str, words: str) -> None:
    with pytest.raises(TargetError, match=words):
        mountinfo.block_device_number(tmp_path, table_of(tmp_path, filesystem, "0:99"), tmp_path)


def test_a_device_that_sys_hides_is_not_called_no_device(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"block device 259:1 is not in /sys; mount the host's /sys"):
        mountinfo.block_device_number(tmp_path, table_of(tmp_path, "ext4", "259:1"), tmp_path)


def test_an_overlay_whose_upper_directory_is_not_visible(tmp_path: Path) -> None:
    for options in ("rw", "rw,upperdir=/no/such"):
        with pytest.raises(TargetError, match="overlay filesystem"):
            mountinfo.block_device_number(tmp_path, table_of(tmp_path, "overlay", "0:99", options=options), tmp_path)


def test_a_btrfs_over_several_devices_is_refused_and_one_over_one_is_not(tmp_path: Path) -> None:
    source = next((path for path in sorted(Path("/dev").iterdir()) if path.is_block_device()), None)
    if source is None:
        pytest.skip("no block device node to stand for a member")
    status = source.stat()
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    disk = tmp_path / "devices/nvme0n1"
    disk.mkdir(parents=True)
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block" / number).symlink_to(disk)
    members = tmp_path / "fs/btrfs/uuid/devices"
    (members / "nvme0n1").mkdir(parents=True)
    table = table_of(tmp_path, "btrfs", "0:44", str(source))
    assert mountinfo.block_device_number(tmp_path, table, tmp_path)[0] == number
    (members / "nvme1n1").mkdir()
    with pytest.raises(TargetError, match="btrfs over 2 devices"):
        mountinfo.block_device_number(tmp_path, table, tmp_path)
