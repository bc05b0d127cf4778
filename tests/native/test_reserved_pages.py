"""Reserved huge pages, here of 2 MiB, which every kernel has, are taken only with --buffer=hugetlb."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from native.helper_process import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from native.helper_process import StartHelper

POOL = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
COUNT = POOL / "nr_hugepages"
RESERVED = 150
BUFFER_BYTES = 64 * MIB


def free_pages() -> int:
    return int((POOL / "free_hugepages").read_text())


@pytest.fixture
def reserved() -> Iterator[int]:
    """Reserve 150 unused pages; yield the number of free ones."""
    if not POOL.exists():
        pytest.skip("this kernel has no reserved pages of 2 MiB")
    before, free_before = COUNT.read_text(), free_pages()
    try:
        COUNT.write_text(str(int(before) + RESERVED))
    except OSError as error:
        pytest.skip(f"{COUNT}: {error.strerror}")
    try:
        if free_pages() < free_before + RESERVED:
            pytest.skip("the memory is too fragmented to reserve huge pages")
        yield free_pages()
    finally:
        COUNT.write_text(before)


def test_reserved_pages_are_taken_only_on_request(start: StartHelper, tmp_path: Path, reserved: int) -> None:
    sizes = (f"--scratch={tmp_path}", f"--span-bytes={BUFFER_BYTES}", f"--max-transfer-bytes={BUFFER_BYTES}")
    assert start(*sizes).receive()["buffer"]["backing"] in {"thp", "pages"}
    assert free_pages() == reserved
    assert start(*sizes, "--buffer=hugetlb").receive()["buffer"]["backing"] == "hugetlb"
    assert free_pages() == reserved - BUFFER_BYTES // (2 * MIB)


def test_none_is_taken_if_too_few_are_free(start: StartHelper, tmp_path: Path, reserved: int) -> None:
    span = (reserved + 1) * 2 * MIB
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(span)
    sizes = (f"--file={path}", f"--span-bytes={span}", f"--max-transfer-bytes={span}", "--drop-caches=never")
    helper = start(*sizes, "--buffer=hugetlb")
    assert helper.receive()["buffer"]["backing"] in {"thp", "pages"}
    assert free_pages() == reserved
    assert helper.finish()[0] == 0
