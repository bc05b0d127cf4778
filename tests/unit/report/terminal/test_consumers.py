from __future__ import annotations

from aio_tuned.report.terminal import consumers
from unit.support.builders import consumer_profile, profile


def test_a_profile_without_the_measurements_has_no_lines() -> None:
    assert consumers.lines(profile()) == []


def test_every_curve_has_a_table_that_fits_into_80_columns() -> None:
    found = consumers.lines(consumer_profile())
    assert max(map(len, found)) <= consumers.WIDTH
    text = "\n".join(found)
    assert (
        "psync (threads of pread and pwrite), reads\n"
        "size  in flight  throughput  p50 latency  p99 latency\n"
        "4K    256        3.10 GB/s   338 µs       508 µs\n"
        "64K   32         6.20 GB/s   338 µs       508 µs\n"
        "256K  8          6.20 GB/s   338 µs       508 µs\n"
        "1M    2          6.20 GB/s   338 µs       508 µs\n"
        "16M   1          6.20 GB/s   2.71 ms      unknown\n"
    ) in text
    heads = [line for line in found if line.endswith((", reads", ", writes", "30 % writes"))]
    assert heads == [
        "io_uring, reads",
        "io_uring, writes",
        "psync (threads of pread and pwrite), reads",
        "psync (threads of pread and pwrite), writes",
        "psync (threads of pread and pwrite), 70 % reads and 30 % writes",
    ]


def test_several_processes_have_a_table_for_each_direction() -> None:
    text = "\n".join(consumers.lines(consumer_profile()))
    assert (
        "several processes with the chosen read setting\n"
        "processes  divide depth by  together   slowest           p99 latency\n"
        "1          1                6.51 GB/s  1.00 of the mean  1.21 ms\n"
        "2          2                6.48 GB/s  0.99 of the mean  2.40 ms\n"
        "4          4                6.10 GB/s  0.96 of the mean  4.80 ms\n"
        "8          8                5.20 GB/s  0.81 of the mean  unknown\n"
    ) in text
    assert "several processes with the chosen write setting" in text
    assert "processes" not in "\n".join(consumers.lines(consumer_profile(concurrency=None)))


def test_long_sentences_are_folded() -> None:
    found = consumers.lines(consumer_profile())
    start = found.index("write: 1.21 GB/s in a new file, which each write extends (31 % of the throughput")
    assert found[start + 1] == "  in an existing file)"
