from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from aio_tuned.devices import device_mapper
from aio_tuned.devices.device_mapper import DmTarget

if TYPE_CHECKING:
    from pathlib import Path

RAID = "raid1 2 AA 131072/131072 idle 0 0 -"
HEADER_BYTES = 312


def answer(*targets: tuple[str, str]) -> bytearray:
    """What the kernel answers: each target's header, its status, and zeros up to a multiple of eight bytes."""
    body = b""
    for kind, text in targets:
        padded = text.encode() + bytes(8 - len(text) % 8)
        following = len(body) + 40 + len(padded)
        body += struct.pack("=2Q i I 16s", 0, 131072, 0, following, kind.encode()) + padded
    return bytearray(HEADER_BYTES) + body


def test_all_targets_are_read() -> None:
    given = ("raid", RAID), ("linear", "")
    found = device_mapper._parse(answer(*given), HEADER_BYTES, len(given))
    assert found == tuple(DmTarget(type=kind, text=text) for kind, text in given)


def test_without_the_device_mapper_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="control"):
        device_mapper.targets("253:0", tmp_path, status=True)
