from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.pcie import Attachment, Link, below, emulated, parse, payload_bytes

GEN3X4 = Link(gt_per_s=8.0, lanes=4)
GEN3X2 = Link(gt_per_s=8.0, lanes=2)
GEN4X4 = Link(gt_per_s=16.0, lanes=4)
GEN4X16 = Link(gt_per_s=16.0, lanes=16)
GEN5X4 = Link(gt_per_s=32.0, lanes=4)


@pytest.mark.parametrize(
    ("speed", "lanes", "shown"),
    [
        ("2.5 GT/s PCIe", "1", "PCIe 1.0 x1"),
        ("5.0 GT/s PCIe", "2", "PCIe 2.0 x2"),
        ("8.0 GT/s PCIe", "4", "PCIe 3.0 x4"),
        ("8 GT/s", "4", "PCIe 3.0 x4"),
        ("16.0 GT/s", "4", "PCIe 4.0 x4"),
        ("32.0 GT/s PCIe", "4", "PCIe 5.0 x4"),
        ("64.0 GT/s PCIe", "4", "PCIe 6.0 x4"),
    ],
)
def test_a_link_is_named_by_its_generation_and_lanes(speed: str, lanes: str, shown: str) -> None:
    assert str(parse(speed, lanes)) == shown


@pytest.mark.parametrize(
    ("speed", "lanes"),
    [
        ("", ""),
        ("Unknown", "4"),
        ("Unknown speed", "255"),
        ("16.0 GT/s PCIe", "0"),
        ("16.0 GT/s PCIe", "63"),
        ("16.0 GT/s PCIe", ""),
        ("133.0 GT/s PCIe", "4"),
        ("nan", "4"),
    ],
)
def test_what_names_no_link(speed: str, lanes: str) -> None:
    assert parse(speed, lanes) is None


# The sums of "drivers/pci/pci.h": PCIE_SPEED2MBS_ENC, in MB/s of one lane's 1000, but for flits.
@pytest.mark.parametrize(
    ("link", "most_mb_per_s"),
    [
        (Link(gt_per_s=2.5, lanes=1), 250),
        (Link(gt_per_s=5.0, lanes=4), 2000),
        (GEN3X4, 3938),
        (GEN4X4, 7877),
        (GEN5X4, 15754),
        (Link(gt_per_s=64.0, lanes=4), 29500),
    ],
)
def test_what_a_link_carries_after_its_encoding(link: Link, most_mb_per_s: int) -> None:
    assert link.most_bytes_per_s / 1e6 == pytest.approx(most_mb_per_s, abs=0.6)


@pytest.mark.parametrize(
    ("link", "payload", "data_mb_per_s"),
    [(GEN4X4, 128, 6633), (GEN4X4, 256, 7202), (GEN4X4, 512, 7524), (GEN4X4, 0, 7202), (GEN3X4, 256, 3601)],
)
def test_what_is_left_for_data(link: Link, payload: int, data_mb_per_s: int) -> None:
    assert link.data_bytes_per_s(payload) / 1e6 == pytest.approx(data_mb_per_s, abs=1)
    assert Attachment(link=link, payload_bytes=payload).data_bytes_per_s == link.data_bytes_per_s(payload)


# --- the configuration space -----------------------------------------------------------------------------


def config(*capabilities: tuple[int, int, int], control: int = 0, size: int = 256) -> bytes:
    """A configuration space with a list of capabilities (place, identity, next); `control` is Device Control."""
    made = bytearray(size)
    made[0x34] = capabilities[0][0] if capabilities else 0
    for place, identity, following in capabilities:
        made[place : place + 2] = bytes((identity, following))
        if identity == 0x10:
            made[place + 8 : place + 10] = control.to_bytes(2, "little")
    return bytes(made)


@pytest.mark.parametrize(
    ("space", "payload"),
    [
        # 0x2810 and 0x2830 are what drives show: payload 128 and 256 bytes, read requests of 512.
        pytest.param(config((0x40, 0x01, 0x70), (0x70, 0x10, 0), control=0x2810), 128, id="128 bytes"),
        pytest.param(config((0x40, 0x01, 0x70), (0x70, 0x10, 0), control=0x2830), 256, id="256 bytes"),
        pytest.param(config((0x70, 0x10, 0), control=0x2850), 512, id="512 bytes"),
        pytest.param(config((0x70, 0x10, 0), control=0x28A0, size=4096), 4096, id="the extended space"),
        pytest.param(config((0x70, 0x10, 0), control=0x28E0), 0, id="reserved"),
        pytest.param(config((0x40, 0x01, 0x40)), 0, id="a circle"),
        pytest.param(config((0x40, 0x01, 0)), 0, id="no PCI Express"),
        pytest.param(config(), 0, id="no capability"),
        pytest.param(config((0x70, 0x10, 0), control=0x2830)[:64], 0, id="not root"),
        pytest.param(b"", 0, id="unreadable"),
        pytest.param(b"\xff" * 256, 0, id="a drive that has gone"),
    ],
)
def test_the_payload_that_the_host_allows(space: bytes, payload: int) -> None:
    assert payload_bytes(space) == payload


@given(st.binary(min_size=256, max_size=256))
def test_no_configuration_space_is_too_much(space: bytes) -> None:
    assert payload_bytes(space) in (0, 128, 256, 512, 1024, 2048, 4096)


@pytest.mark.parametrize(
    ("vendor", "expected"),
    [("0x1b36", True), ("0x1d0f", True), ("0x1AE0", True), ("0x144d", False), ("0x8086", False), ("", False)],
)
def test_drives_that_are_software(vendor: str, expected: bool) -> None:
    assert emulated(vendor) is expected


# --- below what it could be ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "drive", "slot", "words"),
    [
        pytest.param(GEN4X4, GEN4X4, GEN4X4, "", id="all that both can do"),
        pytest.param(GEN4X4, GEN4X4, GEN4X16, "", id="a wide slot"),
        pytest.param(GEN4X4, GEN4X4, GEN5X4, "", id="a fast slot"),
        pytest.param(GEN3X4, GEN4X4, GEN4X4, "reseat the drive", id="too slow"),
        pytest.param(GEN3X2, GEN3X4, GEN3X4, "reseat the drive", id="too narrow"),
        pytest.param(GEN3X2, GEN5X4, GEN4X4, "reseat the drive", id="both, and the slot is slow too"),
        pytest.param(GEN4X4, GEN5X4, GEN4X4, "all that its slot can do", id="a slow slot"),
        pytest.param(GEN3X2, GEN3X4, GEN3X2, "all that its slot can do", id="a narrow slot"),
        pytest.param(GEN3X4, GEN4X4, None, "or try another slot", id="a slot that says nothing"),
        pytest.param(GEN4X4, GEN4X4, None, "", id="a slot that says nothing, and need not"),
        pytest.param(GEN3X4, None, GEN4X4, "", id="a drive that says nothing"),
    ],
)
def test_a_link_below_what_it_could_be(link: Link, drive: Link | None, slot: Link | None, words: str) -> None:
    said = below(Attachment(link=link, drive=drive, slot=slot))
    assert words in said
    assert bool(said) is bool(words)
    if said:
        assert f"the drive's link runs at {link}" in said
        assert f"the drive can do {drive}" in said
