"""Hardware classes: the facts that drives of one class have in common, and the key that is made of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, TypeAlias

from aio_tuned.config.parsing import SETTING_KEYS
from aio_tuned.fleet import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.model.device import Device
    from aio_tuned.model.profile import DeviceInfo, Fingerprint
    from aio_tuned.model.setting import Grid

# A fact that is None is unknown.
Facts: TypeAlias = "Mapping[str, str | int | None]"
TargetKind = Literal["scratch", "device"]

_KEY_DIGITS = 16
_USUAL_PAGE_BYTES = 4096


def facts_of(
    device: Device | DeviceInfo, fingerprint: Fingerprint, target: TargetKind, grid: Grid, helper_version: str
) -> Facts | None:
    """Return the facts that decide the class; None for volumes and drives without model or firmware, as for siblings.

    A fact that a kernel or an older profile does not tell is None however it is written: 0, "" or None. Names, serial
    numbers and the NUMA node tell drives of one class apart, and are no facts. The transport is one beside those of
    the link, since drives over a network have no PCIe link.
    """
    model, firmware = _text(device.model), _text(fingerprint.firmware)
    if device.members or not (model and firmware):
        return None
    return {
        "model": model,
        "firmware": firmware,
        "size_bytes": device.size_bytes or None,
        "logical_block_bytes": fingerprint.logical_block_bytes or None,
        # "" and 0 are known here: blocks without protection information and without metadata.
        "integrity_format": fingerprint.integrity_format,
        "metadata_bytes": fingerprint.metadata_bytes,
        "transport": _text(device.transport),
        "pcie_link": _text(fingerprint.pcie_link),
        "max_sectors_kb": fingerprint.max_sectors_kb or None,
        "nr_requests": fingerprint.nr_requests or None,
        "scheduler": _text(fingerprint.scheduler),
        "filesystem": _text(fingerprint.filesystem),
        "kernel": _text(".".join(fingerprint.kernel.split(".")[:2])),
        "target": target,
        "cpu_model": _text(fingerprint.cpu_model),
        "cpus": fingerprint.cpus or None,
        "thp": _text(fingerprint.thp),
        "iommu": _text(fingerprint.iommu),
        "grid": _grid(grid),
        "helper_major": _text(helper_version.partition(".")[0]),
        **_pages(fingerprint),
    }


def class_key(facts: Facts) -> str:
    """Return the key of the class: the first 16 hexadecimal digits of the SHA-256 over the facts."""
    text = wire.dump({"schema": wire.SCHEMA, **{key: facts[key] for key in sorted(facts)}})
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_DIGITS]


def _text(value: str | None) -> str | None:
    """Return a text with single spaces, since vendors pad theirs; None for an empty one."""
    return " ".join((value or "").split()) or None


def _pages(fingerprint: Fingerprint) -> Facts:
    """Return the size of a page only if it is unusual, so that the keys of all other classes stay as they were."""
    return {} if fingerprint.page_bytes in (None, 0, _USUAL_PAGE_BYTES) else {"page_bytes": fingerprint.page_bytes}


def _grid(grid: Grid) -> str:
    return " ".join(
        f"{key}={','.join(str(int(value)) for value in sorted(getattr(grid, key)))}" for key in SETTING_KEYS
    )
