"""The throughput of a PCIe link, and the best links of a drive and its slot; sysfs.attachment() reads the facts."""

from __future__ import annotations

from dataclasses import dataclass

# Generations by the transfers of one lane, in 10^9 a second (PCIe Base Specification 6.0, section 1.2).
_GENERATIONS = {2.5: "1.0", 5.0: "2.0", 8.0: "3.0", 16.0: "4.0", 32.0: "5.0", 64.0: "6.0"}
# The share of the transferred bits that is left for packets.
_SHARES = {2.5: 8 / 10, 5.0: 8 / 10, 8.0: 128 / 130, 16.0: 128 / 130, 32.0: 128 / 130, 64.0: 236 / 256}
_LANES = (1, 2, 4, 8, 12, 16, 32)
_FLIT_GT_PER_S = 64.0
# Overhead of a packet with data: header with a 64-bit address 16 bytes, framing with sequence number 4, link CRC 4. In
# flits there is only the header.
_PACKET_BYTES = 24
_FLIT_PACKET_BYTES = 16
# Data in one packet, as most hosts set it (Max_Payload_Size). Reading the actual value needs CAP_SYS_ADMIN, which the
# daemon lacks. 128 bytes would carry 8 % less, 512 bytes 4 % more.
_PAYLOAD_BYTES = 256
# PCI vendors whose NVMe drives are those of a hypervisor or a cloud: QEMU, virtio, Amazon, Google, Microsoft, VMware,
# VirtualBox.
_EMULATED = frozenset({0x1B36, 0x1AF4, 0x1D0F, 0x1AE0, 0x1414, 0x15AD, 0x80EE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link as trained, or the best link that one of its ends supports."""

    gt_per_s: float
    lanes: int

    def __str__(self) -> str:
        return f"PCIe {_GENERATIONS[self.gt_per_s]} x{self.lanes}"

    @property
    def max_bytes_per_s(self) -> float:
        """Return the bytes/s one way after line encoding, which packets of any size cannot exceed.

        The first two generations use 8b/10b, those from 8 GT/s on 128b/130b. At 64 GT/s there is no line encoding, but
        packets get 236 of the 256 bytes of a flit (PCIe Base Specification 6.0, section 4.2.3).
        """
        return self.gt_per_s * 1e9 * self.lanes / 8 * _SHARES[self.gt_per_s]

    @property
    def data_bytes_per_s(self) -> float:
        """Return the approximate bytes/s that are left for data, in packets of 256 bytes.

        A packet's header, framing and CRC take 24 bytes (Intel, "Understanding PCI Express Throughput": five to seven
        double words). Acknowledgements and flow control, some per cent more, are left out.
        """
        packet = _FLIT_PACKET_BYTES if self.gt_per_s >= _FLIT_GT_PER_S else _PACKET_BYTES
        return self.max_bytes_per_s * _PAYLOAD_BYTES / (_PAYLOAD_BYTES + packet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A drive's current link, and the best links that the drive and its slot support (None: unknown).

    `real` is false if the link may be emulated: virtual machines show "2.5 GT/s x1" for drives that move GB/s.
    """

    link: Link
    drive: Link | None = None
    slot: Link | None = None
    real: bool = True


def known(speed: str, lanes: str) -> str:
    """Return the link of sysfs's two texts as in profiles, "16.0 GT/s x4"; "" if sysfs does not know it.

    A link that is down has the speed "Unknown", and no lanes or all. Generations after 6.0 are accepted too.
    """
    rate = speed.partition(" ")[0]
    is_rate = rate.replace(".", "", 1).isdecimal() and float(rate) > 0
    return f"{speed.removesuffix(' PCIe')} x{lanes}" if is_rate and lanes in map(str, _LANES) else ""


def parse(speed: str, lanes: str) -> Link | None:
    """Return the link of sysfs's two texts, "16.0 GT/s PCIe" and "4"; None if they name none, as when it is down."""
    try:
        made = Link(gt_per_s=float(speed.partition(" ")[0]), lanes=int(lanes))
    except ValueError:
        return None
    return made if made.gt_per_s in _GENERATIONS and made.lanes in _LANES else None


def named(text: str) -> Link | None:
    """Return the link that a device or a profile names, "16.0 GT/s x4"; None if the text names none."""
    speed, _, lanes = text.rpartition(" x")
    return parse(speed, lanes)


def emulated(vendor: str) -> bool:
    """Return whether drives of that PCI vendor ("0x144d") are software, as in a virtual machine."""
    try:
        return int(vendor, 16) in _EMULATED
    except ValueError:
        return False


def below(attachment: Attachment) -> str:
    """Return the finding on a link below the best that the drive and its slot support; "" if it is not, or unknown."""
    link, drive, slot = attachment.link, attachment.drive, attachment.slot
    if drive is None:
        return ""
    if slot is None:
        if _least(drive, link) == drive:
            return ""
        return f"the drive's link runs at {link}, but the drive supports {drive}; reseat it, or try another slot"
    both = _least(drive, slot)
    if _least(both, link) != both:
        return (
            f"the drive's link runs at {link}, but the drive supports {drive} and its slot {slot}; reseat the drive,"
            " and check its cable or riser and the slot's speed in the firmware setup"
        )
    if _least(drive, link) != drive:
        return f"the drive's link runs at {link}, its slot's limit, but the drive supports {drive}; try another slot"
    return ""


def _least(one: Link, other: Link) -> Link:
    """Return the link between two ends: the lower speed over the fewer lanes."""
    return Link(gt_per_s=min(one.gt_per_s, other.gt_per_s), lanes=min(one.lanes, other.lanes))
