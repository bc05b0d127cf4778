from __future__ import annotations

from dataclasses import replace

import pytest

from aio_tuned.report import consumer_sentences
from unit.support.builders import (
    CONCURRENCY,
    consumer_evidence,
    consumer_profile,
    profile,
    read_only_profile,
)


def test_a_profile_without_the_measurements_has_no_sentences() -> None:
    assert consumer_sentences.sentences_of(profile()) == []
    assert consumer_sentences.engines(profile()) == []
    assert consumer_sentences.shares(None, "read") == []


def test_every_figure_has_a_sentence() -> None:
    assert consumer_sentences.sentences_of(consumer_profile()) == [
        "buffer: 0 % of it on huge pages, contiguous runs of 8 KiB in the mean, transparent huge pages: madvise",
        "read: huge pages add 18.2 % (+15.1 to +21.4 %, 95 % confidence)",
        "write: huge pages make no difference that was measured (-1.2 to +2.1 %, 95 % confidence)",
        "write: 1.21 GB/s in a new file, which each write extends (31 % of the throughput in an existing file)",
        "read: 14 µs from the last completion of a transfer until the caller knows",
        "write: 15 µs from the last completion of a transfer until the caller knows",
    ]


@pytest.mark.parametrize(
    ("gain", "interval", "said"),
    [
        (-4.0, (-6.0, -2.1), "read: huge pages cost 4.0 % (-6.0 to -2.1 %, 95 % confidence)"),
        (4.0, (0.0, 8.0), "read: huge pages make no difference that was measured (+0.0 to +8.0 %, 95 % confidence)"),
        (4.0, None, "read: huge pages change the throughput by +4.0 %; no interval is known"),
    ],
)
def test_a_gain_is_no_surer_than_its_interval(gain: float, interval: tuple[float, float] | None, said: str) -> None:
    evidence = consumer_evidence(read_huge_gain_percent=gain, read_huge_gain_ci95_percent=interval)
    assert said in consumer_sentences.sentences_of(consumer_profile(evidence=evidence))


def test_a_run_that_is_not_known_is_left_out() -> None:
    """Under the unit the kernel shows no frame numbers."""
    found = consumer_sentences.sentences_of(consumer_profile(evidence=consumer_evidence(mean_run_bytes=0, thp="")))
    assert found[0] == "buffer: 0 % of it on huge pages"


def test_a_new_file_is_compared_only_with_writes_that_were_measured() -> None:
    made = replace(read_only_profile(), evidence=consumer_evidence())
    assert "write: 1.21 GB/s in a new file, which each write extends" in consumer_sentences.sentences_of(made)


def test_engines_are_compared_with_their_interval() -> None:
    sure = "(1.15 to 1.21 times, 95 % confidence)"
    most = "with requests of 128 KiB and as many in flight as give the most"
    assert consumer_sentences.engines(consumer_profile()) == [
        f"read: io_uring gives 1.18 times the throughput of psync (threads) {sure} {most}",
        f"write: io_uring and psync (threads) do not differ measurably (0.99 to 1.02 times, 95 % confidence) {most}",
    ]
    evidence = consumer_evidence(io_uring_read_ratio=0.9, io_uring_read_ratio_ci95=(0.88, 0.92))
    slower, _ = consumer_sentences.engines(consumer_profile(evidence=evidence))
    assert slower.startswith("read: io_uring gives only 0.90 times the throughput of psync (threads)")


def test_the_shares_of_several_processes_are_rows() -> None:
    found = consumer_sentences.shares(CONCURRENCY, "read")
    assert [each.processes for each in found] == [1, 2, 4, 8]
    assert found[2] == (4, 6_100_000_000, 4800.0, 0.96, 4)
    assert found[3].p99_us is None
    reads = replace(
        CONCURRENCY, write_throughput_bytes_per_s=None, write_p99_us=None, write_slowest_share=None, write_divisor=None
    )
    assert consumer_sentences.shares(reads, "write") == []
