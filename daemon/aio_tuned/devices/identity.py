"""The identity of a drive: its Device, and the parts of it that profiles store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.devices.names import clean_text, device_node, id_and_name, is_of_this_boot
from aio_tuned.model.device import Device, Queue
from aio_tuned.model.profile import DeviceInfo, Fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping


def device(facts: Mapping[str, str], queue: Queue) -> Device:
    """Return the device that the facts of sysfs.facts() describe."""
    identifier, name = id_and_name(facts)
    numa = facts.get("numa_node", "")
    return Device(
        id=identifier,
        name=name,
        sys_name=facts["sys_name"],
        node=device_node(facts["sys_name"]),
        device_number=facts["device_number"],
        size_bytes=int(facts.get("size", "0")) * 512,
        logical_block_bytes=int(facts.get("logical_block_size", "512")),
        integrity_format=facts.get("integrity_format", ""),
        metadata_bytes=int(facts["metadata_bytes"]) if facts.get("metadata_bytes", "").isdigit() else None,
        read_only=facts.get("ro") == "1",
        hidden=facts.get("hidden") == "1",
        diskseq=int(facts["diskseq"]) if facts.get("diskseq", "").isdigit() else None,
        model=clean_text(facts.get("model", "")),
        serial=clean_text(facts.get("serial", "")),
        firmware=clean_text(facts.get("firmware", "")),
        nsid=int(facts["nsid"]) if facts.get("nsid", "").isdigit() else None,
        transport=facts.get("transport", ""),
        pcie_link=facts.get("pcie_link", ""),
        # -1: the platform does not report it
        numa_node=int(numa) if numa.isdigit() else None,
        members=tuple(facts.get("members", "").split()),
        boot_id=facts.get("boot_id", "") if is_of_this_boot(identifier) else "",
        queue=queue,
    )


def info(device: Device) -> DeviceInfo:
    """Return the description of the drive for its profile."""
    return DeviceInfo(
        id=device.id,
        name=device.name,
        model=device.model,
        serial=device.serial,
        firmware=device.firmware,
        nsid=device.nsid,
        size_bytes=device.size_bytes,
        logical_block_bytes=device.logical_block_bytes,
        transport=device.transport,
        pcie_link=device.pcie_link,
        numa_node=device.numa_node,
        members=device.member_names,
        boot_id=device.boot_id or None,
    )


def fingerprint(device: Device, filesystem: str, kernel_release: str) -> Fingerprint:
    """Return the facts that measurements depend on; `filesystem` is "" for the raw device, and if unknown."""
    return Fingerprint(
        firmware=device.firmware,
        pcie_link=device.pcie_link,
        logical_block_bytes=device.logical_block_bytes,
        integrity_format=device.integrity_format,
        metadata_bytes=device.metadata_bytes,
        max_sectors_kb=device.queue.max_sectors_kb,
        nr_requests=device.queue.nr_requests,
        scheduler=device.queue.scheduler,
        filesystem=filesystem,
        kernel=".".join(kernel_release.split(".")[:2]),
        array=device.array or None,
        cpu_model=device.host.cpu_model,
        cpus=device.host.cpus,
        thp=device.host.thp,
        page_bytes=device.host.page_bytes,
        iommu=device.host.iommu,
        numa_node=device.host.numa_node,
    )
