"""The first lines of `aio-tuned tune`, and its plan for --dry-run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.model.measurement import DROPPING

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.model.setting import Direction
    from aio_tuned.sweep.planning import Preview

_DROP_CACHES = "/proc/sys/vm/drop_caches"
_ASKED = "--read-only"


def _subject(preview: Preview) -> str:
    device, target = preview.device, preview.target
    drive = f"{device.sys_name} ({device.model or device.name}, {formatting.capacity(device.size_bytes)})"
    if target.kind == "scratch":
        return f"{drive} through {target.path} ({target.filesystem})"
    return f"{drive} through {target.path} (raw device)"


def _limits(preview: Preview) -> str:
    time = f"at most {formatting.duration(preview.time_s)}"
    if not preview.written_bytes:
        return f"{time} and nothing written"
    return f"{time} and {formatting.amount(preview.written_bytes)} written"


def _cache(preview: Preview) -> str:
    """Return what happens to the page cache of the host."""
    if preview.drop_caches not in DROPPING:
        return "not dropped"
    if not os.access(_DROP_CACHES, os.W_OK):
        return "not dropped (that needs root)"
    return "dropped for every measurement" if preview.drop_caches == "always" else "dropped once, before the reads"


def opening(preview: Preview) -> list[str]:
    """Return the lines that a sweep begins with: its drive, its target, its limits, and the page cache."""
    lines = [_subject(preview)]
    lines.append(f"{'reads only' if preview.target.no_write else 'reads and writes'}, {_limits(preview)}")
    cache = _cache(preview)
    keep = "; --drop-caches=file keeps it" if cache.startswith("dropped") else ""
    lines.append(f"host page cache: {cache}{keep}")
    if preview.target.no_write and _ASKED not in preview.target.no_write:
        lines.append(f"no writes: {preview.target.no_write}")
    return lines


def _count(preview: Preview, direction: Direction) -> str:
    if direction not in preview.settings:
        return "none"
    measured, count = preview.measured[direction], preview.settings[direction]
    return f"{measured:,} of {count:,}" if measured < count else f"{count:,}"


def _after(preview: Preview) -> str:
    """Return what is measured after the choice, and its part of the limits."""
    if not preview.after_s:
        return "nothing"
    parts = [*preview.engines, *([f"{', '.join(map(str, preview.processes))} processes"] if preview.processes else [])]
    limits = f"at most {formatting.duration(preview.after_s)}"
    if preview.after_bytes:
        limits += f" and {formatting.amount(preview.after_bytes)}"
    return f"{'; '.join(parts)}; {limits} of these" if parts else f"{limits} of these"


def plan(preview: Preview, profile: Path) -> list[str]:
    """Return the lines of --dry-run; `profile` is the file that the sweep would write."""
    target = preview.target
    if target.kind == "scratch":
        through = f"scratch file of {formatting.amount(target.span_bytes)} in {target.path}, deleted at the end"
    else:
        through = f"{formatting.amount(target.span_bytes)} of {target.path}, from byte {target.offset_bytes:,}"
    rows = (
        ("I/O", through),
        ("read settings", _count(preview, "read")),
        ("write settings", _count(preview, "write")),
        ("time", f"at most {formatting.duration(preview.time_s)}"),
        ("written", f"at most {formatting.amount(preview.written_bytes)}" if preview.written_bytes else "nothing"),
        ("afterwards", _after(preview)),
        ("page cache", _cache(preview)),
        ("profile", str(profile)),
    )
    lines = [_subject(preview), *(f"  {name:<16}{text}" for name, text in rows)]
    if target.no_write:
        lines.append(f"no writes: {target.no_write}")
    return [*lines, "dry run: nothing was measured, written or dropped"]
