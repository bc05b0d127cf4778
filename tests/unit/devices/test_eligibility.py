from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aio_tuned.devices.eligibility import decide
from aio_tuned.model.device import Device, Stack, Usage
from aio_tuned.model.target import Policy, Skip, Target
from unit.support.builders import GIB, MIB, device, mount

if TYPE_CHECKING:
    from aio_tuned.model.target import Btrfs, RawWrite

DRIVE = device()
BLANK = Usage(raw_node=DRIVE.node, raw_size_bytes=DRIVE.size_bytes, zero_share=1.0, blank=True)
MOUNTED = Usage(mount=mount(), mounted_at=("/mnt/nvme",), free_bytes=100 * GIB, partitions=("nvme0n1p1",))
SIGNED = replace(BLANK, signatures=("ext4 filesystem",), blank=False, zero_share=0.1)
MAY_WRITE = Policy(raw_write="blank")


def target(decision: Target | Skip) -> Target:
    assert isinstance(decision, Target)
    return decision


def skipped(decision: Target | Skip) -> str:
    assert isinstance(decision, Skip)
    return decision.reason


# --- design.md's table, row by row -----------------------------------------------------------------------


def test_mounted_read_write_with_room_is_swept_on_a_scratch_file() -> None:
    assert decide(DRIVE, MOUNTED, Policy()) == Target(
        kind="scratch", path=Path("/mnt/nvme"), span_bytes=GIB, spare_bytes=99 * GIB, filesystem="ext4"
    )


def test_the_scratch_file_goes_where_it_was_asked_for() -> None:
    assert target(decide(DRIVE, MOUNTED, Policy(), Path("/mnt/nvme/models"))).path == Path("/mnt/nvme/models")


@pytest.mark.parametrize(
    ("kind", "nocow", "asked", "filesystem", "makes_it"),
    [
        ("btrfs", False, "folder", "btrfs", False),
        ("btrfs", False, "nocow", "btrfs nocow", True),
        ("btrfs", True, "folder", "btrfs nocow", False),
        ("btrfs", True, "nocow", "btrfs nocow", False),
        ("ext4", False, "nocow", "ext4", False),
    ],
)
def test_a_btrfs_is_written_as_its_folder_or_the_configuration_says(
    kind: str, nocow: bool, asked: Btrfs, filesystem: str, makes_it: bool
) -> None:
    usage = replace(MOUNTED, mount=replace(mount(), filesystem=kind), nocow=nocow)
    found = target(decide(DRIVE, usage, Policy(btrfs=asked)))
    assert (found.filesystem, found.nocow) == (filesystem, makes_it)


@pytest.mark.parametrize(
    ("free", "span"),
    [(100 * GIB, GIB), (4 * GIB, GIB), (2 * GIB, GIB // 2), (256 * MIB, 64 * MIB), (257 * MIB, 64 * MIB)],
)
def test_the_scratch_file_takes_a_quarter_of_the_room_at_most(free: int, span: int) -> None:
    assert target(decide(DRIVE, replace(MOUNTED, free_bytes=free), Policy())).span_bytes == span


@pytest.mark.parametrize(
    ("size", "min_free", "free", "span", "kept"),
    [
        (1000 * GIB, 10 * GIB, 100 * GIB, GIB, 10 * GIB),
        (1000 * GIB, 10 * GIB, 10 * GIB + 512 * MIB, 512 * MIB, 10 * GIB),
        (50 * GIB, 10 * GIB, 5 * GIB + 100 * MIB, 100 * MIB, 5 * GIB),
        (50 * GIB, GIB, 5 * GIB, GIB, GIB),
    ],
)
def test_the_scratch_file_leaves_min_free(size: int, min_free: int, free: int, span: int, kept: int) -> None:
    """Of which a tenth of the filesystem counts at most."""
    usage = replace(MOUNTED, free_bytes=free, filesystem_bytes=size)
    found = target(decide(DRIVE, usage, Policy(min_free_bytes=min_free)))
    assert (found.span_bytes, found.min_free_bytes) == (span, kept)
    assert found.spare_bytes == free - span - kept


@pytest.mark.parametrize("free", [0, 10 * GIB, 10 * GIB + 64 * MIB - 1])
def test_without_room_beside_min_free_it_is_skipped_for_now(free: int) -> None:
    usage = replace(MOUNTED, free_bytes=free, filesystem_bytes=1000 * GIB)
    found = decide(DRIVE, usage, Policy(min_free_bytes=10 * GIB))
    assert isinstance(found, Skip)
    assert found.for_now
    assert "10240 MiB (min_free)" in found.reason


@pytest.mark.parametrize("free", [0, 100 * MIB, 256 * MIB - 1])
def test_without_room_it_is_skipped(free: int) -> None:
    reason = skipped(decide(DRIVE, replace(MOUNTED, free_bytes=free), Policy()))
    assert reason.startswith(f"only {free // MIB} MiB are free on /mnt/nvme; ")
    assert "64 MiB" in reason


def test_reads_only_as_asked_for() -> None:
    assert target(decide(DRIVE, MOUNTED, Policy(read_only=True))).no_write == "--read-only was given"


def test_blank_is_read_raw_and_written_only_with_leave() -> None:
    read = target(decide(DRIVE, BLANK, Policy()))
    assert (read.kind, read.path, read.span_bytes) == ("device", DRIVE.node, GIB)
    assert 'raw_write = "blank"' in read.no_write
    assert "zeros" in read.provisional
    written = target(decide(DRIVE, BLANK, MAY_WRITE))
    assert (written.kind, written.no_write, written.provisional) == ("device", "", "")


def test_signatures_not_mounted_is_read_raw_only() -> None:
    found = target(decide(DRIVE, SIGNED, MAY_WRITE))
    assert (found.kind, found.no_write) == ("device", "not blank: holds ext4 filesystem")
    assert found.provisional == ""


@pytest.mark.parametrize("raw", [False, True])
def test_a_member_of_a_volume_is_the_volumes(raw: bool) -> None:
    decision = decide(DRIVE, replace(SIGNED, holders=("md0", "dm-1")), Policy(raw=raw, raw_write="blank"))
    if raw:
        assert target(decision).no_write == "in use by md0, dm-1"
    else:
        assert "member of md0, dm-1" in skipped(decision)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("usage", [BLANK, SIGNED])
def test_swap_is_never_swept_raw(usage: Usage, raw: bool) -> None:
    assert "in use as swap" in skipped(decide(DRIVE, replace(usage, swap=True), Policy(raw=raw, raw_write="blank")))


def test_a_filesystem_beside_a_swap_partition_is_swept() -> None:
    """As on every system disk that an installer has made."""
    usage = replace(MOUNTED, swap=True, partitions=("nvme0n1p1", "nvme0n1p2"))
    assert target(decide(DRIVE, usage, MAY_WRITE)).kind == "scratch"
    assert target(decide(DRIVE, usage, MAY_WRITE, Path("/mnt/nvme"))).kind == "scratch"
    assert "in use as swap" in skipped(decide(DRIVE, usage, replace(MAY_WRITE, raw=True)))


def test_a_disk_with_a_volume_on_it_is_not_tuned_through_its_boot_partition() -> None:
    usage = replace(MOUNTED, holders=("dm-0",), partitions=("nvme0n1p1", "nvme0n1p2"))
    assert "member of dm-0" in skipped(decide(DRIVE, usage, MAY_WRITE))


@pytest.mark.parametrize("raw", [False, True])
def test_a_hidden_path_is_skipped_whatever_is_asked_for(raw: bool) -> None:
    hidden = replace(DRIVE, hidden=True)
    assert "hidden path" in skipped(decide(hidden, BLANK, Policy(raw=raw, raw_write="blank")))


def test_a_read_only_drive_is_skipped_unless_asked_for() -> None:
    drive = replace(DRIVE, read_only=True)
    assert "read-only" in skipped(decide(drive, BLANK, MAY_WRITE))
    assert target(decide(drive, BLANK, replace(MAY_WRITE, raw=True))).no_write == "the device is read-only"


@pytest.mark.parametrize("size", [0, 63 * MIB, 64 * MIB - 1])
def test_a_drive_that_is_too_small_is_skipped(size: int) -> None:
    usage = replace(BLANK, raw_size_bytes=size)
    assert "too small" in skipped(decide(replace(DRIVE, size_bytes=size), usage, MAY_WRITE))


# --- mounts and --raw ------------------------------------------------------------------------------------

READ_ONLY_MOUNT = replace(MOUNTED, mount=mount(read_only=True), raw_node=DRIVE.node, raw_size_bytes=DRIVE.size_bytes)


def test_raw_reads_the_device_below_a_mount() -> None:
    usage = replace(MOUNTED, raw_node=DRIVE.node, raw_size_bytes=DRIVE.size_bytes)
    found = target(decide(DRIVE, usage, replace(MAY_WRITE, raw=True)))
    assert found.kind == "device"
    assert "mounted at /mnt/nvme" in found.no_write


def test_a_folder_on_a_read_only_mount_is_skipped_but_its_device_is_read() -> None:
    assert "mounted read-only" in skipped(decide(DRIVE, READ_ONLY_MOUNT, MAY_WRITE, Path("/mnt/nvme")))
    found = target(decide(DRIVE, READ_ONLY_MOUNT, MAY_WRITE))
    assert found.kind == "device"
    assert found.no_write


def test_a_partition_is_read_where_it_lies() -> None:
    node = Path("/dev/nvme0n1p2")
    usage = replace(BLANK, raw_node=node, raw_size_bytes=GIB, raw_offset_bytes=512 * MIB)
    found = target(decide(DRIVE, usage, MAY_WRITE))
    assert (found.path, found.offset_bytes, found.span_bytes) == (node, 512 * MIB, 512 * MIB)
    assert found.no_write == "partitions are never written raw"


@pytest.mark.parametrize(("share", "doubtful"), [(0.1, False), (0.11, True), (1.0, True)])
def test_reads_of_zeros_are_doubtful(share: float, doubtful: bool) -> None:
    found = target(decide(DRIVE, replace(SIGNED, zero_share=share), Policy()))
    assert bool(found.provisional) is doubtful


def test_each_reason_not_to_write_alone_is_enough() -> None:
    assert target(decide(DRIVE, BLANK, MAY_WRITE)).no_write == ""
    raw = replace(MAY_WRITE, raw=True)
    changed: list[dict[str, Any]] = [
        {"signatures": ("x",)},
        {"partitions": ("nvme0n1p1",)},
        {"holders": ("md0",)},
        {"mounted_at": ("/mnt",)},
        {"blank": False},
        {"raw_node": Path("/dev/nvme0n1p1")},
        {"raw_node": None},
    ]
    for change in changed:
        assert target(decide(DRIVE, replace(BLANK, **change), raw)).no_write, change
    assert target(decide(replace(DRIVE, read_only=True), BLANK, raw)).no_write
    assert target(decide(DRIVE, BLANK, replace(raw, read_only=True))).no_write
    assert target(decide(DRIVE, BLANK, replace(raw, raw_write="never"))).no_write


# --- what lies below -------------------------------------------------------------------------------------

THIN = Stack(thin="vg-thin (dm-2) takes space from a pool for new writes")
ORIGIN = Stack(origin="vg-data-real (dm-0) has a snapshot")
UNSEEN = Stack(unseen="x (dm-0) is a volume of an unknown type")
MOUNTED_RAW = replace(MOUNTED, raw_node=DRIVE.node, raw_size_bytes=DRIVE.size_bytes)
MAY_FILL = Policy(thin_writes=True)


@pytest.mark.parametrize("directory", [None, Path("/mnt/nvme/models")])
@pytest.mark.parametrize("policy", [Policy(), MAY_WRITE])
@pytest.mark.parametrize(
    ("stack", "said"),
    [(THIN, "[safety] thin_writes"), (ORIGIN, "remove the snapshot"), (UNSEEN, "as root on the host")],
)
def test_where_space_is_not_sure_the_device_is_read_and_nothing_written(
    stack: Stack, said: str, policy: Policy, directory: Path | None
) -> None:
    found = target(decide(DRIVE, replace(MOUNTED_RAW, stack=stack), policy, directory))
    assert (found.kind, found.path) == ("device", DRIVE.node)
    assert said in found.no_write
    assert "raw_write" not in found.no_write


def test_a_thin_volume_that_is_named_is_written_and_trimmed() -> None:
    found = target(decide(DRIVE, replace(MOUNTED, stack=THIN), MAY_FILL))
    assert (found.kind, found.no_write, found.trim) == ("scratch", "", True)
    assert not target(decide(DRIVE, MOUNTED, MAY_FILL)).trim


def test_a_thin_volume_that_is_named_is_not_written_if_its_space_could_not_return() -> None:
    usage = replace(MOUNTED_RAW, stack=THIN, no_trim="FITRIM needs CAP_SYS_ADMIN")
    assert "could not be returned: FITRIM needs" in target(decide(DRIVE, usage, MAY_FILL)).no_write


@pytest.mark.parametrize("stack", [ORIGIN, UNSEEN, replace(THIN, origin=ORIGIN.origin)])
def test_naming_a_volume_allows_thin_writes_only(stack: Stack) -> None:
    assert target(decide(DRIVE, replace(MOUNTED_RAW, stack=stack), MAY_FILL)).no_write


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("usage", [MOUNTED_RAW, BLANK])
def test_a_snapshot_is_not_tuned(usage: Usage, raw: bool) -> None:
    snapshot = Stack(snapshot="vg-snap (dm-3) is a snapshot")
    policy = replace(MAY_WRITE, thin_writes=True, raw=raw)
    assert "tune its origin volume instead" in skipped(decide(DRIVE, replace(usage, stack=snapshot), policy))


@pytest.mark.parametrize("stack", [THIN, ORIGIN, UNSEEN])
def test_a_blank_volume_of_that_kind_is_never_written_raw(stack: Stack) -> None:
    found = target(decide(DRIVE, replace(BLANK, stack=stack), replace(MAY_WRITE, thin_writes=True)))
    assert "never written raw" in found.no_write


# --- zoned drives and boot partitions ----------------------------------------------------------------------


@pytest.mark.parametrize("policy", [Policy(), MAY_WRITE, replace(MAY_WRITE, raw=True), MAY_FILL])
@pytest.mark.parametrize("usage", [BLANK, SIGNED, MOUNTED_RAW])
def test_a_zoned_drive_is_read_only(usage: Usage, policy: Policy) -> None:
    found = target(decide(DRIVE, replace(usage, zoned="host-managed"), policy))
    assert found.kind == "device"
    assert found.no_write.startswith("zoned (host-managed)")
    assert "raw_write" not in found.no_write


def test_a_disk_of_which_a_boot_partition_is_mounted_is_read_only() -> None:
    usage = replace(SIGNED, boot=("/boot/efi",), mounted_at=("/boot/efi",), partitions=("nvme0n1p1",))
    said = target(decide(DRIVE, usage, MAY_WRITE)).no_write
    assert "only a boot partition is mounted (/boot/efi)" in said


# --- the property ----------------------------------------------------------------------------------------


def check(drive: Device, usage: Usage, policy: Policy, directory: Path | None) -> bool:
    """Whether the raw device would be written, which is only ever right for a blank whole disk with leave."""
    decision = decide(drive, usage, policy, directory)
    if isinstance(decision, Skip):
        assert decision.reason
        return False
    assert not drive.hidden
    assert not (usage.swap and decision.kind == "device")
    assert decision.span_bytes >= policy.min_span_bytes
    if decision.kind == "scratch":
        assert usage.mount is not None
        assert not usage.mount.read_only
        assert not policy.raw
        assert not usage.zoned
        assert usage.stack == Stack(thin=usage.stack.thin)
        assert decision.trim is bool(usage.stack.thin)
        assert policy.thin_writes or not usage.stack.thin
        assert not (usage.stack.thin and usage.no_trim)
        assert decision.span_bytes * 4 <= usage.free_bytes
        assert bool(decision.no_write) is policy.read_only
        return False
    assert decision.offset_bytes + decision.span_bytes <= (usage.raw_size_bytes or drive.size_bytes)
    if decision.no_write:
        return False
    assert usage.blank
    assert usage.stack == Stack()
    assert not (usage.zoned)
    assert not (usage.boot)
    assert not (usage.signatures)
    assert not (usage.partitions)
    assert not (usage.holders)
    assert not (usage.mounted_at)
    assert not (usage.swap)
    assert usage.mount is None
    assert decision.path == drive.node == usage.raw_node
    assert policy.raw_write == "blank"
    assert not policy.read_only
    assert not drive.read_only
    return True


def facts(flags: tuple[bool, ...], raw_write: RawWrite = "blank") -> tuple[Device, Usage, Policy, Path | None]:
    hidden, drive_ro, mounted, mount_ro, listed, parts, held, signed, swap, part, blank, raw, reads, folder = flags
    drive = replace(DRIVE, hidden=hidden, read_only=drive_ro)
    usage = Usage(
        mount=mount(read_only=mount_ro) if mounted else None,
        mounted_at=("/mnt/nvme",) if listed else (),
        free_bytes=100 * GIB,
        partitions=("nvme0n1p1",) if parts else (),
        holders=("md0",) if held else (),
        signatures=("ext4 filesystem",) if signed else (),
        swap=swap,
        raw_node=Path("/dev/nvme0n1p1") if part else drive.node,
        raw_size_bytes=drive.size_bytes,
        zero_share=1.0 if blank else 0.0,
        blank=blank,
    )
    return drive, usage, Policy(raw=raw, read_only=reads, raw_write=raw_write), Path("/mnt/nvme") if folder else None


FLAGS = 14


@pytest.mark.parametrize("raw_write", ["never", "blank"])
def test_only_a_blank_whole_disk_is_ever_written_over_all_combinations(raw_write: RawWrite) -> None:
    """All but a mount without a mount point, which the next test is about."""
    combinations = [flags for flags in itertools.product((False, True), repeat=FLAGS) if flags[4] or not flags[2]]
    written = sum(check(*facts(flags, raw_write)) for flags in combinations)
    # raw and folder are free, and so is the flag of a mount that is not there
    assert written == (0 if raw_write == "never" else 8)


def test_a_filesystem_that_was_found_mounted_is_never_written_below_even_if_it_has_just_gone() -> None:
    """location.resolve() finds the mount, location.usage() lists the mount points a moment later."""
    for flags in itertools.product((False, True), repeat=FLAGS):
        if flags[2] and not flags[4]:
            check(*facts(flags))


TEXTS = st.sampled_from(["", "x"])
NAMES = st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple)
USAGES = st.builds(
    Usage,
    mounted_at=NAMES,
    free_bytes=st.integers(0, 8 * GIB),
    partitions=NAMES,
    holders=NAMES,
    signatures=NAMES,
    swap=st.booleans(),
    stack=st.one_of(st.just(Stack()), st.builds(Stack, thin=TEXTS, origin=TEXTS, snapshot=TEXTS, unseen=TEXTS)),
    no_trim=TEXTS,
    zoned=TEXTS,
    raw_node=st.sampled_from([DRIVE.node, Path("/dev/nvme0n1p1"), None]),
    raw_size_bytes=st.integers(0, 8 * GIB),
    raw_offset_bytes=st.integers(0, 8 * GIB),
    zero_share=st.floats(0, 1),
    blank=st.booleans(),
)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(
    st.builds(
        lambda hidden, ro, size: replace(DRIVE, hidden=hidden, read_only=ro, size_bytes=size),
        st.booleans(),
        st.booleans(),
        st.integers(0, 8 * GIB),
    ),
    st.one_of(
        USAGES,
        st.builds(
            lambda usage, ro: replace(usage, mount=mount(read_only=ro), mounted_at=("/mnt/nvme",)),
            USAGES,
            st.booleans(),
        ),
    ),
    st.builds(
        Policy,
        raw=st.booleans(),
        read_only=st.booleans(),
        thin_writes=st.booleans(),
        raw_write=st.sampled_from(["never", "blank"]),
    ),
    st.sampled_from([None, Path("/mnt/nvme/x")]),
)
@example(DRIVE, BLANK, MAY_WRITE, None)
def test_only_a_blank_whole_disk_is_ever_written(
    drive: Device, usage: Usage, policy: Policy, directory: Path | None
) -> None:
    check(drive, usage, policy, directory)
