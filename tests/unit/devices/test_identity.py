from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_tuned.devices import identity
from aio_tuned.devices.identity import device
from aio_tuned.devices.names import clean_text, escape, file_name
from aio_tuned.model.device import Queue
from aio_tuned.model.profile import DeviceInfo, Fingerprint
from unit.support import builders

SAMSUNG = {
    "sys_name": "nvme0n1",
    "device_number": "259:0",
    "size": "1953525168",
    "logical_block_size": "512",
    "model": "Samsung SSD 980 PRO 1TB                 ",
    "serial": "S5GXNF0R123456      ",
    "firmware": "5B2QGXA7",
    "wwid": "eui.0025385b21404e5f",
    "nsid": "1",
}


def made(**facts: str) -> tuple[str, str]:
    found = device({"sys_name": "sda", "device_number": "8:0", **facts}, Queue())
    return found.id, found.name


def nvme(**facts: str) -> tuple[str, str]:
    return made(**{**SAMSUNG, **facts})


# --- NVMe ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "serial", "nsid", "link"),
    [
        # links in /dev/disk/by-id of ordinary machines (60-persistent-storage.rules)
        ("Samsung SSD 980 PRO 1TB", "S5GXNF0R123456", "1", "nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1"),
        ("INTEL SSDPE2KX040T8", "PHLJ123400AB4P0DGN", "1", "nvme-INTEL_SSDPE2KX040T8_PHLJ123400AB4P0DGN_1"),
        ("WD_BLACK SN850X 2000GB", "22512X800123", "1", "nvme-WD_BLACK_SN850X_2000GB_22512X800123_1"),
        ("KINGSTON SNV2S1000G", "50026B7785A1B2C3", "1", "nvme-KINGSTON_SNV2S1000G_50026B7785A1B2C3_1"),
        ("SAMSUNG MZVL21T0HCLR-00B00", "S676NX0T123456", "1", "nvme-SAMSUNG_MZVL21T0HCLR-00B00_S676NX0T123456_1"),
        (
            "Amazon Elastic Block Store",
            "vol0123456789abcdef0",
            "1",
            "nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0_1",
        ),
        ("QEMU NVMe Ctrl", "aio-tuned-0", "2", "nvme-QEMU_NVMe_Ctrl_aio-tuned-0_2"),
    ],
)
def test_the_name_is_udevs(model: str, serial: str, nsid: str, link: str) -> None:
    assert nvme(model=model.ljust(40), serial=serial.ljust(20), nsid=nsid)[1] == link


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"model": "x" * 40}, "nvme-" + "x" * 40 + "_S5GXNF0R123456_1"),
        ({"model": "a/b\\c"}, "nvme-a_b_c_S5GXNF0R123456_1"),
        ({"model": "\"q\" 'q' $(x) `x` *?"}, "nvme-_q___q____x___x_____S5GXNF0R123456_1"),
        ({"model": "Été 1TB"}, "nvme-Été_1TB_S5GXNF0R123456_1"),
        ({"model": "emoji 😀"}, "nvme-emoji_😀_S5GXNF0R123456_1"),
        ({"model": "bro\udcffken"}, "nvme-bro_ken_S5GXNF0R123456_1"),
        ({"model": "nul\x00\x00\x00"}, "nvme-nul_S5GXNF0R123456_1"),
        ({"model": "a\nb\tc"}, "nvme-a_b_c_S5GXNF0R123456_1"),
        ({"model": "\u202ertl"}, "nvme-_rtl_S5GXNF0R123456_1"),
        ({"serial": "../../etc"}, "nvme-Samsung_SSD_980_PRO_1TB_.._.._etc_1"),
        ({"model": ""}, "nvme-S5GXNF0R123456_1"),
        ({"nsid": ""}, "nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456"),
        ({"model": "Dell#+-.:=@_"}, "nvme-Dell#+-.:=@__S5GXNF0R123456_1"),
    ],
)
def test_strange_strings_in_names(facts: dict[str, str], name: str) -> None:
    assert nvme(**facts)[1] == name


@pytest.mark.parametrize(
    ("wwid", "means"),
    [
        ("eui.0025385b21404e5f", True),
        ("nvme.144d-533547584e463052-53616d73756e67-00000001", True),
        ("uuid.6f1d4a2e-0000-0000-0000-000000000000", True),
        ("eui.0000000000000000", False),
        ("eui.00000000000000000000000000000000", False),
        ("uuid.00000000-0000-0000-0000-000000000000", False),
        ("", False),
        ("0", False),
        ("x", True),
    ],
)
def test_the_wwid_is_the_id_if_it_means_something(wwid: str, means: bool) -> None:
    identifier, name = nvme(wwid=wwid)
    assert identifier == (wwid if means else name)
    assert name == "nvme-Samsung_SSD_980_PRO_1TB_S5GXNF0R123456_1"


def test_drives_without_model_and_serial_do_not_share_a_name() -> None:
    names = {nvme(model="", serial="", wwid=wwid)[1] for wwid in ("eui.0025385b21404e5f", "eui.0025385b21404e60")}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({}, "nvme-nvme0n1"),
        ({"nsid": "1"}, "nvme-nvme0n1_1"),
        ({"nsid": "1", "model": "Cloud Disk"}, "nvme-Cloud_Disk_nvme0n1_1"),
        # The kernel makes this of vendor, serial, model and nsid; all drives of the model have it.
        ({"nsid": "1", "model": "QEMU", "wwid": "nvme.1b36--51454d55-00000001"}, "nvme-QEMU_nvme0n1_1"),
        ({"nsid": "1", "model": "QEMU", "wwid": "eui.0000000000000000"}, "nvme-QEMU_nvme0n1_1"),
    ],
)
def test_an_nvme_drive_without_serial_and_wwid_is_identified_for_this_boot(facts: dict[str, str], name: str) -> None:
    """Its profile would be another nameless drive's too; the kernel's name tells them apart until the next boot."""
    found = device({"sys_name": "nvme0n1", "device_number": "259:0", "boot_id": "b1", **facts}, Queue())
    assert (found.id, found.name, found.boot_id) == ("block:nvme0n1", name, "b1")
    assert identity.info(found).boot_id == "b1"
    other = device({"sys_name": "nvme1n1", "device_number": "259:1", "boot_id": "b1", **facts}, Queue())
    assert (other.id, other.name) != (found.id, found.name)


@pytest.mark.parametrize(
    "facts", [{"serial": "S"}, {"wwid": "eui.1"}, {"wwid": "nvme.1b36-53--00000001"}, {"loop_file": "/x"}]
)
def test_an_id_that_lasts_is_of_no_boot(facts: dict[str, str]) -> None:
    sys_name = "loop0" if "loop_file" in facts else "nvme0n1"
    found = device({"sys_name": sys_name, "device_number": "259:0", "boot_id": "b1", **facts}, Queue())
    assert not found.id.startswith("block:")
    assert found.boot_id == ""
    assert identity.info(found).boot_id is None


# --- everything else -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "identifier", "name"),
    [
        (
            {"sys_name": "dm-0", "dm_name": "vg-models", "dm_uuid": "LVM-abc"},
            "dm-uuid-LVM-abc",
            "dm-name-vg-models",
        ),
        ({"sys_name": "dm-0", "dm_name": "a/b c", "dm_uuid": "CRYPT-x"}, "dm-uuid-CRYPT-x", "dm-name-a_b_c"),
        ({"sys_name": "dm-0", "dm_uuid": "mpath-3600"}, "dm-uuid-mpath-3600", "dm-name-mpath-3600"),
        ({"sys_name": "md0", "md_uuid": "1:2:3:4"}, "md-uuid-1:2:3:4", "md-uuid-1:2:3:4"),
        ({"sys_name": "md0", "udev.MD_UUID": "1:2:3:4"}, "md-uuid-1:2:3:4", "md-uuid-1:2:3:4"),
        ({"sys_name": "loop0", "loop_file": "/var/a b.img"}, "loop:/var/a b.img", "loop-var_a_b.img"),
        ({"sys_name": "sda", "udev.ID_SERIAL": "ATA X_1", "udev.ID_BUS": "ata"}, "ata-ATA_X_1", "ata-ATA_X_1"),
        (
            {"sys_name": "sda", "udev.ID_SERIAL": "3600", "udev.ID_BUS": "scsi", "wwid": "naa.5000"},
            "naa.5000",
            "scsi-3600",
        ),
        ({"sys_name": "vda", "udev.ID_SERIAL": "disk0"}, "disk-disk0", "disk-disk0"),
        ({"sys_name": "vda", "serial": "disk 0"}, "disk-disk_0", "disk-disk_0"),
        ({"sys_name": "sda", "serial": "s", "model": "m"}, "disk-m_s", "disk-m_s"),
        ({"sys_name": "vda"}, "block:vda", "block-vda"),
        ({"sys_name": "cciss!c0d0"}, "block:cciss!c0d0", "block-cciss_c0d0"),
        ({"sys_name": "ram0"}, "block:ram0", "block-ram0"),
    ],
)
def test_other_devices(facts: dict[str, str], identifier: str, name: str) -> None:
    assert made(**facts) == (identifier, name)


# --- names as files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", "plain"),
        ("..hidden", "hidden"),
        ("...", "unnamed"),
        ("", "unnamed"),
        ("/", "_"),
        ("../x", "_x"),
        ("a" * 200, "a" * 200),
    ],
)
def test_a_name_is_a_files(name: str, expected: str) -> None:
    assert file_name(name) == expected


@pytest.mark.parametrize("char", ["a", "é", "😀"])
def test_long_names_are_cut_and_stay_different(char: str) -> None:
    first, second = file_name(char * 300), file_name(char * 301)
    assert first != second
    assert 180 < len(first.encode()) <= 200
    assert re.fullmatch(re.escape(char) + "+-[0-9a-f]{16}", first)
    assert file_name(char * 300) == first


ANY = st.text(st.characters())


@settings(derandomize=True, deadline=None, max_examples=100)
@given(ANY, ANY, ANY, st.sampled_from(["nvme0n1", "dm-0", "md1", "loop0", "sda", "vda"]))
def test_whatever_a_drive_says_its_name_is_a_file_and_its_strings_are_clean(
    a: str, b: str, c: str, sys_name: str
) -> None:
    facts = {"model": a, "serial": b, "wwid": c, "dm_uuid": a, "dm_name": b, "md_uuid": c, "loop_file": a + b}
    for kept in (facts, {key: facts[key] for key in ("model", "serial")}, {"loop_file": c, "wwid": a}):
        found = device({"sys_name": sys_name, "device_number": "8:0", **kept}, Queue())
        assert found.id
        assert re.fullmatch(r"[^./\0][^/\0]*", found.name)
        assert len(found.name.encode()) <= 200
        assert file_name(found.name) == found.name
        for text in (found.id, found.name, found.model, found.serial, found.firmware):
            assert text.encode("utf-8").decode("utf-8") == text
            assert all(char.isprintable() for char in text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("x" * 40, "x" * 40),
        ("  padded \x00\x00 ", "padded"),
        ("\x7f\x1bab\x9bc", "ab c"),
        ("\udcc3\udca9", "é"),
        ("\udcff", "�"),
        ("\u202e", ""),
    ],
)
def test_a_vendors_string_is_cleaned(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


def test_each_blank_is_an_underscore_as_udev_has_it() -> None:
    assert escape("  a  b\u00a0c\t") == "__a__b_c"


# --- the rest of the device ------------------------------------------------------------------------------


def test_the_facts_become_the_device() -> None:
    queue = Queue(max_sectors_kb=128)
    facts = {
        **SAMSUNG,
        "ro": "1",
        "hidden": "1",
        "diskseq": "9",
        "transport": "pcie",
        "pcie_link": "16.0 GT/s x4",
        "numa_node": "1",
        "members": "nvme0n1 nvme1n1",
    }
    found = device(facts, queue)
    assert found.node == Path("/dev/nvme0n1")
    assert (found.size_bytes, found.logical_block_bytes) == (1953525168 * 512, 512)
    assert (found.read_only, found.hidden, found.diskseq, found.nsid, found.numa_node) == (True, True, 9, 1, 1)
    assert (found.model, found.serial) == ("Samsung SSD 980 PRO 1TB", "S5GXNF0R123456")
    assert (found.transport, found.pcie_link, found.firmware) == ("pcie", "16.0 GT/s x4", "5B2QGXA7")
    assert found.members == ("nvme0n1", "nvme1n1")
    assert found.queue is queue


def test_what_is_unknown_is_none_or_empty() -> None:
    found = device({"sys_name": "cciss!c0d0", "device_number": "104:0", "numa_node": "-1"}, Queue())
    assert found.node == Path("/dev/cciss/c0d0")
    assert (found.numa_node, found.nsid, found.diskseq) == (None, None, None)
    assert (found.size_bytes, found.logical_block_bytes) == (0, 512)
    assert not found.read_only
    assert not found.hidden
    assert found.members == ()


# --- what a profile says of it ---------------------------------------------------------------------------


def test_the_info_is_the_devices_and_nothing_of_this_boot() -> None:
    drive = builders.device(numa_node=1, members=("nvme0n1",), member_names=("nvme-Some_Drive_1",))
    found = identity.info(drive)
    same = [item.name for item in fields(DeviceInfo) if item.name not in ("members", "boot_id")]
    assert all(getattr(found, name) == getattr(drive, name) for name in same)
    assert found.members == ("nvme-Some_Drive_1",)


@pytest.mark.parametrize(
    ("release", "kernel"), [("6.8.0-45-generic", "6.8"), ("6.18", "6.18"), ("7", "7"), ("", ""), ("5.15.0", "5.15")]
)
def test_the_fingerprint_has_the_kernels_first_two_numbers(release: str, kernel: str) -> None:
    assert identity.fingerprint(builders.device(), "ext4", release) == Fingerprint(
        firmware="5B2QGXA7",
        pcie_link="16.0 GT/s x4",
        logical_block_bytes=512,
        integrity_format="",
        metadata_bytes=0,
        max_sectors_kb=128,
        nr_requests=1023,
        scheduler="none",
        filesystem="ext4",
        kernel=kernel,
    )


@pytest.mark.parametrize(
    ("facts", "format_", "metadata_bytes"),
    [
        ({}, "", None),
        ({"metadata_bytes": "0"}, "", 0),
        ({"integrity_format": "T10-DIF-TYPE1-CRC", "metadata_bytes": "8"}, "T10-DIF-TYPE1-CRC", 8),
        ({"integrity_format": "nop", "metadata_bytes": "64"}, "nop", 64),
    ],
)
def test_the_fingerprint_has_the_format_of_the_blocks(
    facts: dict[str, str], format_: str, metadata_bytes: int | None
) -> None:
    found = identity.fingerprint(device({**SAMSUNG, **facts}, Queue()), "", "6.8.0")
    assert (found.integrity_format, found.metadata_bytes) == (format_, metadata_bytes)
