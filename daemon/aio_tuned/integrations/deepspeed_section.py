"""A configuration of DeepSpeed with the keys of its section "aio" that the user left out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.errors import AioTunedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aio_tuned.reader import DriveSettings

# The one that all forward passes read comes first.
_OFFLOADS = ("offload_param", "offload_optimizer")


class Filled(NamedTuple):
    """A configuration, the values that were set in its "aio", and a remark for a warning, or ""."""

    configuration: Mapping[str, Any]
    values: Mapping[str, Any]
    remark: str = ""


def filled(
    configuration: Mapping[str, Any], options: ExportOptions, drive_of: Callable[[str], DriveSettings]
) -> Filled:
    """Return a copy of the configuration with what its "aio" lacks, from the drive that its nvme_path is on.

    It is the same configuration without an nvme_path, with all keys, or if the user's values do not go with ours.
    `options` have DeepSpeed's release, `drive_of` is drive_of_folder(). Raise its errors and those of the export.
    """
    folders = list(_folders(configuration))
    given = configuration.get("aio")
    given = {} if given is None else given
    if not folders or not isinstance(given, Mapping):
        return Filled(configuration, {})
    first, *others = folders
    drive = drive_of(first)
    exported = consumers.export_for("deepspeed", drive, first, options).values
    ours = {str(path[-1]): value for path, value in exported.items() if path[-1] not in given}
    if not ours:
        return Filled(configuration, {})
    depth = _longest_queue(drive, {**ours, **given}, options)
    if "queue_depth" in ours:
        ours["queue_depth"] = depth
    elif depth < given["queue_depth"]:
        return Filled(
            configuration,
            {},
            f"DeepSpeed's aio: left as it is: a queue_depth of {given['queue_depth']} is too long for the drive's other"
            f" values; leave it out, or give at most {depth}",
        )
    remark = "; ".join(_about_another(folder, drive, drive_of) for folder in others)
    return Filled({**configuration, "aio": {**ours, **given}}, ours, remark)


def _folders(configuration: Mapping[str, Any]) -> Iterator[str]:
    """Yield each nvme_path that is in use."""
    zero = configuration.get("zero_optimization")
    if not isinstance(zero, Mapping):  # older releases take a boolean
        return
    for name in _OFFLOADS:
        offload = zero.get(name)
        if isinstance(offload, Mapping) and offload.get("device") == "nvme" and offload.get("nvme_path"):
            yield os.fspath(offload["nvme_path"])


def _longest_queue(drive: DriveSettings, section: Mapping[str, Any], options: ExportOptions) -> int:
    """Return the queue_depth of the section, or less: the export knows the longest queue that DeepSpeed moves."""
    chosen = drive.combined._replace(**{key: section[key] for key in ("block_size", "queue_depth", "overlap_events")})
    uncapped = ExportOptions(for_version=options.for_version)
    made = consumers.load("deepspeed").export(drive._replace(combined=chosen), "", uncapped)
    return int(str(made.values["aio", "queue_depth"]))


def _about_another(folder: str, drive: DriveSettings, drive_of: Callable[[str], DriveSettings]) -> str:
    """Return the remark on a folder if it is on another drive, for which DeepSpeed uses the same section; else ""."""
    source = drive.combined.source
    try:
        if drive_of(folder).combined.source.file == source.file:
            return ""
    except AioTunedError:  # that drive has no profile
        pass
    return f"DeepSpeed's aio: from {source.device}; {folder} is on another drive, but there is one section for both"
