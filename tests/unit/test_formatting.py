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
    ("low", "high", "at", "text"),
    [
        (180e6, 340e6, 244e6, "180 to 340 MB/s"),
        (0.98e9, 1.2e9, 1.05e9, "0.98 to 1.20 GB/s"),
        (0.9e9, 1.05e9, 0.98e9, "900 to 1050 MB/s"),
    ],
)
def test_throughput_range(low: float, high: float, at: float, text: str) -> None:
    assert formatting.throughput_range(low, high, at) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3_840_755_982_336, "3.84 TB"),
        (500_107_862_016, "500 GB"),
        (6 << 30, "6.44 GB"),
        (1_000_000_000, "1 GB"),
        (384 << 20, "403 MB"),
        (64 << 20, "67.1 MB"),
    ],
)
def test_capacity(value: float, text: str) -> None:
    assert formatting.capacity(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 bytes"), (512, "512 bytes"), (64 << 20, "64 MiB"), (17 << 30, "17 GiB"), (191.5 * 2**30, "191.5 GiB")],
)
def test_amount(value: float, text: str) -> None:
    assert formatting.amount(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0:00"), (7, "0:07"), (59.4, "0:59"), (59.6, "1:00"), (151, "2:31"), (3600, "60:00")],
)
def test_duration(value: float, text: str) -> None:
    assert formatting.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(85.4, "85 µs"), (999.4, "999 µs"), (1000.0, "1.00 ms"), (9_994.0, "9.99 ms"), (104_300.0, "104 ms")],
)
def test_latency(value: float, text: str) -> None:
    assert formatting.latency(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [("wörld 1", "wörld 1"), ("\x1b[2J", r"\x1b[2J"), ("a\nb", r"a\nb"), ("\ud800", r"\ud800")]
)
def test_printable(value: str, text: str) -> None:
    assert formatting.printable(value) == text
