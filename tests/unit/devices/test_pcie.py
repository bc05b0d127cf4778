from __future__ import annotations

import pytest

from aio_tuned.devices.pcie import Attachment, Link, below, emulated, known, named, parse

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


@pytest.mark.parametrize(
    ("speed", "lanes", "text"),
    [
        ("16.0 GT/s PCIe", "4", "16.0 GT/s x4"),
        ("8 GT/s", "2", "8 GT/s x2"),
        ("128.0 GT/s PCIe", "4", "128.0 GT/s x4"),  # of a later generation
        ("Unknown", "0", ""),
        ("Unknown speed", "255", ""),
        ("Unknown", "4", ""),
        ("16.0 GT/s PCIe", "0", ""),
        ("16.0 GT/s PCIe", "63", ""),  # of a link that is down every bit is set
        ("0", "4", ""),
        ("nan", "4", ""),
        ("", "", ""),
    ],
)
def test_a_link_is_named_only_if_it_is_known(speed: str, lanes: str, text: str) -> None:
    assert known(speed, lanes) == text


@pytest.mark.parametrize(
    ("text", "link"), [("16.0 GT/s x4", GEN4X4), ("8.0 GT/s x2", GEN3X2), ("", None), ("x4", None)]
)
def test_the_link_that_a_profile_names(text: str, link: Link | None) -> None:
    assert named(text) == link


# The sums of "drivers/pci/pci.h": PCIE_SPEED2MBS_ENC, in MB/s of one lane's 1000, but for flits.
@pytest.mark.parametrize(
    ("link", "max_mb_per_s"),
    [
        (Link(gt_per_s=2.5, lanes=1), 250),
        (Link(gt_per_s=5.0, lanes=4), 2000),
        (GEN3X4, 3938),
        (GEN4X4, 7877),
        (GEN5X4, 15754),
        (Link(gt_per_s=64.0, lanes=4), 29500),
    ],
)
def test_what_a_link_carries_after_its_encoding(link: Link, max_mb_per_s: int) -> None:
    assert link.max_bytes_per_s / 1e6 == pytest.approx(max_mb_per_s, abs=0.6)


# 256 of 280 bytes; in flits 256 of 272.
@pytest.mark.parametrize(
    ("link", "data_mb_per_s"), [(GEN3X4, 3601), (GEN4X4, 7202), (GEN5X4, 14404), (Link(gt_per_s=64.0, lanes=4), 27765)]
)
def test_what_is_left_for_data(link: Link, data_mb_per_s: int) -> None:
    assert link.data_bytes_per_s / 1e6 == pytest.approx(data_mb_per_s, abs=1)


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
        pytest.param(GEN4X4, GEN5X4, GEN4X4, "its slot's limit", id="a slow slot"),
        pytest.param(GEN3X2, GEN3X4, GEN3X2, "its slot's limit", id="a narrow slot"),
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
        assert f"the drive supports {drive}" in said
