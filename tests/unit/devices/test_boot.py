from __future__ import annotations

from pathlib import Path

import pytest

from aio_tuned.devices import boot


@pytest.mark.parametrize(
    "point", ["/boot", "/efi", "/esp", "/boot/efi", "/boot/EFI", "/boot/firmware", "/boot/grub", "/mnt/target/boot/efi"]
)
def test_where_boot_partitions_are_mounted(point: str) -> None:
    assert boot.is_boot_point(Path(point))


@pytest.mark.parametrize("point", ["/", "/mnt/nvme", "/bootcamp", "/boot/efi/x", "/data/efi-images", "/srv"])
def test_where_they_are_not(point: str) -> None:
    assert not boot.is_boot_point(Path(point))


@pytest.mark.parametrize(
    ("partition_type", "found"),
    [
        ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", True),
        ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", True),
        ("bc13c2ff-59e6-4262-a352-b275fd6f7172", True),
        ("0xef", True),
        ("0x83", False),
        ("0fc63daf-8483-4772-8e79-3d69d8477de4", False),
        ("", False),
    ],
)
def test_the_types_of_boot_partitions(partition_type: str, found: bool) -> None:
    assert boot.is_boot_type(partition_type) is found
