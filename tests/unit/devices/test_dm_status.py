from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from aio_tuned.devices import dm_status

if TYPE_CHECKING:
    from pathlib import Path

RAID = b"raid1 2 AA 131072/131072 idle 0 0 -"


def answer(*targets: tuple[bytes, bytes], flags: int = 0) -> bytes:
    """What the kernel answers: each target's header, its status, and zeros up to a multiple of eight bytes."""
    body = b""
    for kind, text in targets:
        padded = text + bytes(8 - len(text) % 8)
        following = len(body) + 40 + len(padded)
        body += struct.pack("=2Q i I 16s", 0, 131072, 0, following, kind) + padded
    header = struct.pack("=3I 2I Ii 3I Q", 4, 0, 0, 16384, 312, len(targets), 1, flags, 0, 0, 0)
    return header.ljust(312, b"\0") + body


def test_all_targets_are_read() -> None:
    assert dm_status.parse(answer((b"raid", RAID), (b"linear", b""))) == (("raid", RAID.decode()), ("linear", ""))


def test_what_is_cut_off_is_not_read() -> None:
    assert dm_status.parse(answer((b"raid", RAID), flags=1 << 8)) is None
    assert dm_status.parse(answer((b"raid", RAID))[:330]) is None
    assert dm_status.parse(b"") is None
    assert dm_status.parse(answer()) is None


def test_without_the_device_mapper_nothing_is_known(tmp_path: Path) -> None:
    assert dm_status.targets("253:0", tmp_path / "control") is None
    (tmp_path / "control").write_bytes(b"")
    assert dm_status.targets("253:0", tmp_path / "control") is None
