"""Where a sweep may do its I/O on a device, and what it never writes; README has the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.model.target import Skip, Target

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.device import Device, Usage
    from aio_tuned.model.target import Policy

# The scratch file takes at most one part in so many of the free space, so that the workload does not run out of it.
_FREE_SHARE = 4
# min_free counts up to one part in so many of the filesystem: it must not keep small ones from being swept at all.
_MIN_FREE_SHARE = 10
_MIB = 1 << 20
# A drive answers reads of never-written blocks without its flash: a tenth of them makes reads some 10 % too fast. A few
# zero blocks are in any data.
_ZERO_SHARE = 0.1


def no_scratch(usage: Usage, policy: Policy) -> str:
    """Return why no scratch file may be filled in the mount, or ""."""
    stack = usage.stack
    if usage.zoned:
        return _zoned(usage)
    if stack.origin:
        return f"{stack.origin}: nothing is written here while it exists"
    if stack.unseen:
        return f"{stack.unseen}, so nothing is known of its space: run aio-tuned where it can be seen"
    if stack.thin and not policy.thin_writes:
        return f"{stack.thin}: name the volume in [safety] thin_writes, or pass --thin-writes, to measure writes"
    if stack.thin and usage.no_trim:
        return f"{stack.thin}, and could not be given back: {usage.no_trim}"
    return ""


def _zoned(usage: Usage) -> str:
    return f"zoned ({usage.zoned}): zones are written in order only, so writes at the swept settings cannot be measured"


def on_filesystem(usage: Usage, policy: Policy, directory: Path | None) -> bool:
    """Return whether the sweep goes to a scratch file in the mount rather than to the device itself.

    A device is read raw if its filesystem is mounted read-only, unless a directory in it was named, and where no
    scratch file may be filled.
    """
    mount = usage.mount
    if mount is None or policy.raw:
        return False
    return directory is not None if mount.read_only else not no_scratch(usage, policy)


def decide(device: Device, usage: Usage, policy: Policy, directory: Path | None = None) -> Target | Skip:
    """Decide where to sweep the device, or why not to.

    `directory` is where in `usage.mount` the scratch file goes (default: the mount point). With `policy.raw` the device
    itself is read even where a filesystem of it is mounted.
    """
    if device.hidden:
        return Skip(
            reason=f"{device.sys_name} is a hidden path of a multipath namespace: the namespace's head is tuned"
        )
    if usage.holders and directory is None and not policy.raw:
        return Skip(
            reason=f"{device.sys_name} is a member of {', '.join(usage.holders)}: tune the volume, or pass --raw to"
            " sweep reads of the member itself"
        )
    if usage.stack.snapshot:
        return Skip(reason=f"{usage.stack.snapshot}: tune the volume that it was made of")
    if on_filesystem(usage, policy, directory):
        return _on_filesystem(usage, policy, directory)
    if usage.swap:
        return Skip(reason=f"{device.sys_name} is in use as swap")
    if device.read_only and not policy.raw:
        return Skip(reason=f"{device.sys_name} is read-only; pass --raw to sweep its reads")
    return _on_device(device, usage, policy)


def _on_filesystem(usage: Usage, policy: Policy, directory: Path | None) -> Target | Skip:
    mount = usage.mount
    assert mount is not None  # noqa: S101 - the caller's condition
    if mount.read_only:
        return Skip(
            reason=f"{mount.point} is mounted read-only, so there is no place for a scratch file: pass --raw to sweep"
            " reads of the device itself"
        )
    min_free = min(policy.min_free_bytes, usage.filesystem_bytes // _MIN_FREE_SHARE)
    span = min(policy.span_bytes, usage.free_bytes // _FREE_SHARE, usage.free_bytes - min_free) // _MIB * _MIB
    if span < policy.min_span_bytes:
        return Skip(
            reason=f"{mount.point} has {usage.free_bytes // _MIB} MiB free; the scratch file needs"
            f" {policy.min_span_bytes // _MIB} MiB, and takes a quarter of what is free at most and leaves"
            f" {min_free // _MIB} MiB (min_free): free some space, or pass --raw to sweep reads of the device itself",
            for_now=True,
        )
    asked = mount.filesystem == "btrfs" and policy.btrfs == "nocow"
    return Target(
        kind="scratch",
        path=directory or mount.point,
        span_bytes=span,
        min_free_bytes=min_free,
        filesystem=f"{mount.filesystem} nocow" if usage.nocow or asked else mount.filesystem,
        nocow=asked and not usage.nocow,
        no_write="asked for reads only (--read-only)" if policy.read_only else "",
        trim=bool(usage.stack.thin),
    )


def _no_raw_write(device: Device, usage: Usage, policy: Policy) -> str:
    """Return why the raw device is not written; "" only for a blank whole disk that the operator allows to write."""
    if policy.read_only:
        return "asked for reads only (--read-only)"
    if usage.zoned:
        return _zoned(usage)
    if usage.mount is not None and not policy.raw and (reason := no_scratch(usage, policy)):
        return reason
    if usage.boot and not policy.raw:
        return (
            f"only {', '.join(usage.boot)} of it is mounted, which the machine starts from: name that directory, or"
            " mount another filesystem of it, to measure writes"
        )
    if content := _content(usage):
        return content
    if usage.raw_node != device.node:
        return "a part of a disk is never written"
    if device.read_only:
        return "the device is read-only"
    if below := usage.stack.thin or usage.stack.origin or usage.stack.unseen:
        return f"{below}: such a volume is never written raw"
    if policy.raw_write != "blank":
        return 'not mounted: writes need a filesystem, or raw_write = "blank" in the configuration'
    return ""


def _content(usage: Usage) -> str:
    """Return what the device is used for or holds, or ""."""
    if usage.mounted_at or usage.mount is not None:
        where = ", ".join(usage.mounted_at) or str(usage.mount.point if usage.mount else "")
        return f"mounted at {where}: writes go through the filesystem, without --raw"
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
            reason=f"{node} is too small: {size // _MIB} MiB, where a sweep needs {policy.min_span_bytes // _MIB} MiB"
        )
    no_write = _no_raw_write(device, usage, policy)
    provisional = ""
    if no_write and usage.zero_share > _ZERO_SHARE:
        # Trimmed blocks are answered without the flash too.
        provisional = (
            f"{usage.zero_share:.0%} of the blocks read hold only zeros: a drive may serve never-written blocks without"
            " its flash, so reads may be slower once there is data; tune again then"
        )
    return Target(
        kind="device",
        path=node,
        span_bytes=span,
        offset_bytes=usage.raw_offset_bytes,
        no_write=no_write,
        provisional=provisional,
    )
