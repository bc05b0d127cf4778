from __future__ import annotations

import pytest

from aio_tuned import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6_512_000_000, "6.51 GB/s"),
        (1e9, "1.00 GB/s"),
        (999e6, "999 MB/s"),
        (250e6, "250 MB/s"),
        (0, "0 MB/s"),
    ],
)
def test_throughput(value: float, text: str) -> None:
    assert formatting.throughput(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (512, "512"),
        (1 << 10, "1K"),
        (128 << 10, "128K"),
        (1 << 20, "1M"),
        (3 << 19, "1.5M"),
        (1 << 30, "1G"),
        (1_000_204_886_016, "931.5G"),
        (2 << 40, "2T"),
    ],
)
def test_size(value: float, text: str) -> None:
    assert formatting.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0:00"), (7, "0:07"), (59.4, "0:59"), (59.6, "1:00"), (151, "2:31"), (3600, "60:00")],
)
def test_duration(value: float, text: str) -> None:
    assert formatting.duration(value) == text
