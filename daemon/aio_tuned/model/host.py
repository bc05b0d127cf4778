"""The part of the host that a drive's figures depend on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The processors, the pages of memory, and the drive's way to memory; None is unknown.

    `cpus` is the number of processors that are present, `thp` the policy for transparent huge pages, and `page_bytes`
    the size of the kernel's pages, which on arm64 is 4, 16 or 64 KiB. `iommu` is the mode of the drive's IOMMU domain,
    "none" without one; a volume has the modes of its members. `numa_node` is -1 without a node, or with several.
    """

    cpu_model: str | None = None
    cpus: int | None = None
    thp: str | None = None
    page_bytes: int | None = None
    iommu: str | None = None
    numa_node: int | None = None
