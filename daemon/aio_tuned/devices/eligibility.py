"""The decision where a sweep may do its I/O on a device, and whether it may write there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.model.target import Skip, Target

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.device import Device, Usage
    from aio_tuned.model.target import Policy

# The scratch file takes at most a quarter of the free space, so that the workload does not run out of space.
_FREE_SHARE = 4
# min_free is limited to a tenth of the filesystem, because it would keep small filesystems from being swept at all.
_MIN_FREE_SHARE = 10
_MIB = 1 << 20
# Drives answer reads of unwritten blocks without reading flash: 10 % of such blocks make reads about 10 % too fast. Any
# data has a few zero blocks.
_ZERO_SHARE = 0.1
_READ_ONLY = "--read-only was given"


def no_scratch(usage: Usage, policy: Policy) -> str:
    """Return the reason why no scratch file may be filled on the mount, or ""."""
    stack = usage.stack
    if usage.zoned:
        return _zoned(usage)
    if stack.origin:
        return f"{stack.origin}; remove the snapshot to measure writes"
    if stack.unseen:
        return f"{stack.unseen}, so writes could fill a pool; run aio-tuned as root on the host to measure writes"
    if stack.thin and not policy.thin_writes:
        return f"{stack.thin}; add the volume to [safety] thin_writes, or pass --thin-writes, to measure writes"
    if stack.thin and usage.no_trim:
        return f"{stack.thin}, which could not be returned: {usage.no_trim}"
    return ""


def _zoned(usage: Usage) -> str:
    return f"zoned ({usage.zoned}): zones accept sequential writes only, so writes cannot be measured"


def on_filesystem(usage: Usage, policy: Policy, directory: Path | None) -> bool:
    """Return whether the sweep uses a scratch file on the mount rather than the device itself.

    Read the device raw if no scratch file may be filled, and if its filesystem is mounted read-only, unless a directory
    on it was named.
    """
    mount = usage.mount
    if mount is None or policy.raw:
        return False
    return directory is not None if mount.read_only else not no_scratch(usage, policy)


def decide(device: Device, usage: Usage, policy: Policy, directory: Path | None = None) -> Target | Skip:
    """Decide where to sweep the device, or why to skip it.

    Put the scratch file into `directory` on `usage.mount` (default: the mount point). With `policy.raw` read the device
    itself, even if a filesystem on it is mounted.
    """
    if device.hidden:
        return Skip(reason="hidden path of a multipath namespace; tune the namespace's head device instead")
    if usage.holders and directory is None and not policy.raw:
        return Skip(
            reason=f"member of {', '.join(usage.holders)}; tune the volume, or pass --raw to measure reads of the"
            " member itself"
        )
    if usage.stack.snapshot:
        return Skip(reason=f"{usage.stack.snapshot}; tune its origin volume instead")
    if on_filesystem(usage, policy, directory):
        return _on_filesystem(usage, policy, directory)
    if usage.swap:
        return Skip(reason="in use as swap; turn the swap off to tune the drive")
    if device.read_only and not policy.raw:
        return Skip(reason="read-only device; pass --raw to measure its reads")
    return _on_device(device, usage, policy)


def _on_filesystem(usage: Usage, policy: Policy, directory: Path | None) -> Target | Skip:
    mount = usage.mount
    assert mount is not None  # noqa: S101 - the caller's condition
    if mount.read_only:
        return Skip(
            reason="filesystem is mounted read-only, so no scratch file can be written; pass --raw to measure reads of"
            " the device itself"
        )
    min_free = min(policy.min_free_bytes, usage.filesystem_bytes // _MIN_FREE_SHARE)
    span = min(policy.span_bytes, usage.free_bytes // _FREE_SHARE, usage.free_bytes - min_free) // _MIB * _MIB
    if span < policy.min_span_bytes:
        where = f" on {mount.point}" if directory is None else ""
        return Skip(
            reason=f"only {usage.free_bytes // _MIB} MiB are free{where}; the scratch file needs"
            f" {policy.min_span_bytes // _MIB} MiB, takes a quarter of the free space at most and leaves"
            f" {min_free // _MIB} MiB (min_free); free some space, or pass --raw to measure reads of the device itself",
            for_now=True,
        )
    asked = mount.filesystem == "btrfs" and policy.btrfs == "nocow"
    return Target(
        kind="scratch",
        path=directory or mount.point,
        span_bytes=span,
        min_free_bytes=min_free,
        spare_bytes=usage.free_bytes - min_free - span,
        filesystem=f"{mount.filesystem} nocow" if usage.nocow or asked else mount.filesystem,
        nocow=asked and not usage.nocow,
        no_write=_READ_ONLY if policy.read_only else "",
        trim=bool(usage.stack.thin),
    )


def _no_raw_write(device: Device, usage: Usage, policy: Policy) -> str:
    """Return the reason not to write the raw device; "" only for a blank whole disk if the operator allows it."""
    if policy.read_only:
        return _READ_ONLY
    if usage.zoned:
        return _zoned(usage)
    if usage.mount is not None and not policy.raw and (reason := no_scratch(usage, policy)):
        return reason
    if usage.boot and not policy.raw:
        return (
            f"only a boot partition is mounted ({', '.join(usage.boot)}); tune that directory, or mount another"
            " filesystem of the drive, to measure writes"
        )
    if content := _content(usage):
        return content
    if usage.raw_node != device.node:
        return "partitions are never written raw"
    if device.read_only:
        return "the device is read-only"
    if below := usage.stack.thin or usage.stack.origin or usage.stack.unseen:
        return f"{below}; such a volume is never written raw"
    if policy.raw_write != "blank":
        return 'not mounted; mount a filesystem, or set raw_write = "blank" in the configuration, to measure writes'
    return ""


def _content(usage: Usage) -> str:
    """Return the use or the content of the device, or ""."""
    if usage.mounted_at or usage.mount is not None:
        where = ", ".join(usage.mounted_at) or str(usage.mount.point if usage.mount else "")
        return f"mounted at {where}; to measure writes, tune a writable directory there, without --raw"
    if usage.holders:
        return f"in use by {', '.join(usage.holders)}"
    if usage.partitions:
        return f"holds partitions ({', '.join(usage.partitions)})"
    if usage.signatures:
        return f"not blank: holds {', '.join(usage.signatures)}"
    return "" if usage.blank else "not blank: holds data without a known signature"


def _on_device(device: Device, usage: Usage, policy: Policy) -> Target | Skip:
    node = usage.raw_node or device.node
    size = usage.raw_size_bytes or device.size_bytes
    span = min(policy.span_bytes, (size - usage.raw_offset_bytes)) // _MIB * _MIB
    if span < policy.min_span_bytes:
        return Skip(
            reason=f"too small: {node} has {size // _MIB} MiB, and a sweep needs {policy.min_span_bytes // _MIB} MiB"
        )
    no_write = _no_raw_write(device, usage, policy)
    provisional = ""
    if no_write and usage.zero_share > _ZERO_SHARE:
        # Drives answer reads of trimmed blocks without reading flash too.
        provisional = (
            f"{usage.zero_share:.0%} of the sampled blocks hold only zeros; a drive may serve unwritten blocks without"
            " reading flash, so reads of data may be slower; tune again once the drive holds data"
        )
    return Target(
        kind="device",
        path=node,
        span_bytes=span,
        offset_bytes=usage.raw_offset_bytes,
        no_write=no_write,
        provisional=provisional,
    )
