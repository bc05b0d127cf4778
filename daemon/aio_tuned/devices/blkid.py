"""The content of a block device, from blkid's probes and from samples of its bytes; nothing is written."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MIB = 1 << 20
_BLOCK = 4096
_CANDIDATES = 8
_BLOCKS_EACH = 32
_BLKID_NOTHING = 2


def _probe(node: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, str]] | None:
    """Run blkid's probes, without its cache; return the process and its findings, or None if blkid is missing."""
    program = shutil.which("blkid", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return None
    done = subprocess.run(
        [program, "-p", "-o", "export", "--", str(node)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return done, dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def partition_type(node: Path) -> str:
    """Return a partition's type from the partition table, a GUID or "0xef"; "" if blkid finds none."""
    probed = _probe(node)
    return probed[1].get("PART_ENTRY_TYPE", "") if probed else ""


def signatures(node: Path) -> tuple[str, ...]:
    """Return the signatures that blkid recognizes on the device, e.g. ("ext4 filesystem",); () if none.

    A probe that fails or is ambivalent counts as a signature, because a blank drive may be written.
    """
    probed = _probe(node)
    if probed is None:
        return ("unknown content (blkid is not installed)",)
    done, found = probed
    if done.returncode == _BLKID_NOTHING and not done.stderr.strip():
        return ()
    known = []
    if "TYPE" in found:
        known.append(f"{found['TYPE']} {found.get('USAGE', 'content')}")
    if "PTTYPE" in found:
        known.append(f"{found['PTTYPE']} partition table")
    return tuple(known) or (f"content that blkid does not recognize (exit code {done.returncode})",)


def sample(node: Path, size_bytes: int, span_bytes: int) -> tuple[int, float, bool]:
    """Return (offset, zero_share, all_zero): the span with the most data, its share of zeros, and if all is zero.

    Sample eight places on the device with 32 blocks of 4 KiB each, and for `all_zero` also the first and the last MiB.
    If all is zero, choose the span in the middle. Drop the pages that were read from the page cache. Raise OSError if
    the device cannot be read.
    """
    span = min(span_bytes, size_bytes)
    steps = max(1, _CANDIDATES - 1)
    offsets = sorted({(size_bytes - span) * step // steps // _MIB * _MIB for step in range(_CANDIDATES)})
    zero_block = bytes(_BLOCK)
    shares: dict[int, float] = {}
    descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC)

    def read(place: int, count: int) -> bytes:
        data = os.pread(descriptor, count, place)
        os.posix_fadvise(descriptor, place, count, os.POSIX_FADV_DONTNEED)
        return data

    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
        for offset in offsets:
            stride = max(_BLOCK, span // _BLOCKS_EACH // _BLOCK * _BLOCK)
            blocks = [read(offset + place, _BLOCK) for place in range(0, span - _BLOCK + 1, stride)]
            shares[offset] = sum(block == zero_block for block in blocks) / max(1, len(blocks))
        ends = read(0, _MIB) + read(max(0, size_bytes - _MIB), _MIB)
    finally:
        os.close(descriptor)
    if all(share == 1.0 for share in shares.values()) and not any(ends):
        # Signatures are near the ends: random bytes of a killed sweep cannot be taken for one in the middle.
        return offsets[len(offsets) // 2], 1.0, True
    offset = min(shares, key=lambda place: (shares[place], place))
    return offset, shares[offset], False
