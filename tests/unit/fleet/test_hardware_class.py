"""Hardware classes: equal for equal facts however they were learnt, different for each fact that counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_tuned.fleet.hardware_class import Facts, class_key, facts_of
from aio_tuned.model.device import Device
from aio_tuned.model.profile import Fingerprint
from unit.support.builders import SMALL_GRID

_PRINT = Fingerprint(
    firmware="GDC7502Q",
    pcie_link="16.0 GT/s PCIe x4",
    logical_block_bytes=4096,
    metadata_bytes=0,
    max_sectors_kb=512,
    nr_requests=1023,
    scheduler="none",
    filesystem="xfs",
    cpu_model="AMD EPYC 9354",
    cpus=64,
    thp="madvise",
    page_bytes=4096,
    iommu="DMA-FQ",
    numa_node=0,
    kernel="6.1",
)
_DRIVE = Device(
    id="eui.1", name="nvme-ACME", sys_name="nvme0n1", node=Path("/dev/nvme0n1"), device_number="259:0",
    size_bytes=3_840_755_982_336, logical_block_bytes=4096, model="ACME X1", firmware="GDC7502Q", transport="pcie",
)  # fmt: skip


def _facts(device: Device = _DRIVE, fingerprint: Fingerprint = _PRINT) -> Facts:
    found = facts_of(device, fingerprint, "scratch", SMALL_GRID, "1.4.2")
    assert found
    return found


def test_the_key_of_known_facts_stays_the_same_between_releases() -> None:
    # Another key would have the whole fleet sweep again: change it only with the schema of the facts.
    assert class_key(_facts()) == "7d6d065ebd15bb2c"


@pytest.mark.parametrize(
    "changed",
    [
        _facts(replace(_DRIVE, model="ACME X2")),
        _facts(replace(_DRIVE, size_bytes=1_920_383_410_176)),
        _facts(replace(_DRIVE, transport="tcp")),
        *(
            _facts(fingerprint=replace(_PRINT, **change))
            for change in (
                {"firmware": "GDC7602Q"}, {"pcie_link": "8.0 GT/s PCIe x4"}, {"logical_block_bytes": 512},
                {"integrity_format": "T10-DIF-TYPE1-CRC"}, {"metadata_bytes": 8}, {"max_sectors_kb": 128},
                {"nr_requests": 256}, {"scheduler": "mq-deadline"}, {"filesystem": "ext4"}, {"kernel": "6.12"},
                {"cpu_model": "AMD EPYC 9654"}, {"cpus": 96}, {"thp": "always"}, {"iommu": "identity"},
                {"page_bytes": 65536},
            )
        ),
        facts_of(_DRIVE, _PRINT, "device", SMALL_GRID, "1.4.2"),
        facts_of(_DRIVE, _PRINT, "scratch", replace(SMALL_GRID, queue_depth=(4, 64)), "1.4.2"),
        facts_of(_DRIVE, _PRINT, "scratch", SMALL_GRID, "2.0"),
    ],
    ids=lambda facts: str(min(set(facts.items()) ^ set(_facts().items()), key=str)[0]),
)  # fmt: skip
def test_each_fact_makes_a_class_of_its_own(changed: Facts) -> None:
    assert class_key(changed) != class_key(_facts())


@pytest.mark.parametrize(
    "same",
    [
        _facts(replace(_DRIVE, serial="S2", name="nvme-other", sys_name="nvme9n1", numa_node=3, diskseq=9)),
        _facts(fingerprint=replace(_PRINT, numa_node=1)),
        *(_facts(fingerprint=replace(_PRINT, page_bytes=unknown)) for unknown in (None, 0)),
        _facts(fingerprint=replace(_PRINT, cpu_model="AMD  EPYC 9354 ")),
        _facts(replace(_DRIVE, model=" ACME X1  ")),
        _facts(fingerprint=replace(_PRINT, kernel="6.1.0-18-amd64")),
        facts_of(_DRIVE, _PRINT, "scratch", SMALL_GRID, "1.9"),
    ],
)
def test_what_only_names_the_drive_or_is_written_otherwise_makes_no_class(same: Facts) -> None:
    assert class_key(same) == class_key(_facts())


@given(st.permutations(SMALL_GRID.block_size), st.permutations(SMALL_GRID.overlap_events))
def test_the_order_of_the_grids_values_makes_no_class(blocks: list[int], overlaps: list[bool]) -> None:
    grid = replace(SMALL_GRID, block_size=tuple(blocks), overlap_events=tuple(overlaps))
    found = facts_of(_DRIVE, _PRINT, "scratch", grid, "1.4.2")
    assert found == _facts()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "cpu_model": st.sampled_from([None, "", " "]),
            "cpus": st.sampled_from([None, 0]),
            "thp": st.sampled_from([None, ""]),
            "iommu": st.sampled_from([None, ""]),
            "pcie_link": st.sampled_from(["", " "]),
        },
    )
)
def test_every_way_to_write_that_a_fact_is_unknown_is_the_same(changes: dict[str, object]) -> None:
    unknown = {key: "" if key == "pcie_link" else None for key in changes}
    one, other = (_facts(fingerprint=replace(_PRINT, **each)) for each in (changes, unknown))
    assert class_key(one) == class_key(other)
    assert all(one[key] is None for key in changes)


def test_no_iommu_is_a_fact_and_not_an_unknown_one() -> None:
    without, unknown = (_facts(fingerprint=replace(_PRINT, iommu=each)) for each in ("none", None))
    assert class_key(without) != class_key(unknown)


@pytest.mark.parametrize(
    "drive",
    [replace(_DRIVE, members=("nvme0n1",)), replace(_DRIVE, model=""), replace(_DRIVE, firmware=" ")],
    ids=["a volume", "no model", "no firmware"],
)
def test_a_drive_that_has_no_siblings_has_no_class(drive: Device) -> None:
    fingerprint = replace(_PRINT, firmware=drive.firmware)
    assert facts_of(drive, fingerprint, "scratch", SMALL_GRID, "1.4.2") is None
