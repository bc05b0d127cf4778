"""What each consumer asks of the host, from its own export."""

from __future__ import annotations

import pytest

from aio_tuned import consumers
from aio_tuned.consumers.export import ExportOptions
from aio_tuned.launch.doctor.need import IO_URING, Need, make_need
from unit.support.consumer_settings import drive, settings
from unit.support.size_curves import curve


def need(name: str, path: str = "/", **fields: object) -> Need:
    found = drive(**fields)
    return make_need(name, found, consumers.export_for(name, found, path, ExportOptions()))


def test_deepspeed_has_two_handles_with_a_context_more_than_threads() -> None:
    found = need("deepspeed")
    assert (found.engine, found.request_bytes, found.queue_depth, found.threads) == ("libaio", 1 << 20, 16, 2)
    assert found.events == 2 * (2 + 1) * 16
    assert found.locked_bytes == 2 * 16 << 20


def test_the_exports_own_values_count() -> None:
    # DeepSpeed's queue is kept below 2 GiB without overlap.
    found = need("deepspeed", combined=settings(block_size=64 << 20, queue_depth=64, overlap_events=False))
    assert found.queue_depth == 31


def test_fio_reserves_the_events_of_its_threads() -> None:
    found = need("fio", read=settings(direction="read", queue_depth=32), write=settings(direction="write"))
    assert (found.engine, found.queue_depth, found.threads, found.events) == ("libaio", 32, 2, 64)
    assert found.locked_bytes == 0


def test_threads_of_synchronous_io_need_neither_events_nor_locked_memory() -> None:
    found = need("kvikio")
    assert (found.engine, found.queue_depth, found.events, found.locked_bytes) == ("psync", 1, 0, 0)
    assert found.threads == 32
    assert found.request_bytes == 1 << 20


def test_a_consumer_of_io_uring_submits_from_one_thread() -> None:
    found = need("runai")
    assert (found.engine, found.queue_depth, found.threads, found.events) == ("io_uring", 32, 1, 0)


def test_half_of_the_slots_of_instanttensor_are_reads_in_flight() -> None:
    saturating = settings(direction="read", saturating_concurrency=20)
    found = need("instanttensor", read=saturating)
    assert (found.engine, found.queue_depth, found.threads) == ("io_uring", 20, 1)
    least = need("instanttensor", read=saturating._replace(saturating_concurrency=1))
    assert (least.queue_depth, least.threads) == (1, 1)


@pytest.mark.parametrize("name", ["flexkv", "mooncake"])
def test_a_ring_of_a_fixed_size_is_not_the_requests_in_flight(name: str) -> None:
    found = need(name, combined=settings(saturating_concurrency=24))
    assert (found.engine, found.queue_depth, found.threads) == ("io_uring", 24, 1)


def test_lmcache_s_server_has_threads_in_a_folder_and_a_ring_on_a_device() -> None:
    combined = settings(saturating_concurrency=24)
    folder = need("lmcache_server", combined=combined)
    assert (folder.engine, folder.queue_depth, folder.threads) == ("psync", 1, 24)
    device = need("lmcache_server", "/dev/nvme0n1", combined=combined)
    assert (device.engine, device.queue_depth, device.threads) == ("io_uring", 24, 1)


def test_cufile_s_sizes_are_in_kib() -> None:
    curves = tuple(curve("psync", op, {1 << 20: 32, 16 << 20: 6}) for op in ("read", "write"))
    found = need("cufile", curves=curves)
    assert (found.engine, found.request_bytes, found.queue_depth, found.threads) == ("psync", 16 << 20, 1, 6)


def test_the_threads_of_gds_mt_have_a_request_each() -> None:
    found = need("nixl_gds", combined=settings(saturating_concurrency=24))
    assert (found.engine, found.queue_depth, found.threads, found.events) == ("psync", 1, 24, 0)


def test_mooncake_locks_its_buffer_only_with_its_ring() -> None:
    assert need("mooncake").locked_bytes == 1280 << 20
    alone = need("mooncake", combined=settings(queue_depth=1, io_parallelism=1, saturating_concurrency=1))
    assert (alone.engine, alone.locked_bytes) == ("psync", 0)


@pytest.mark.parametrize("name", consumers.NAMES)
def test_every_consumer_has_a_need(name: str) -> None:
    found = need(name)
    assert found.request_bytes >= 4096
    assert found.queue_depth >= 1
    assert found.threads >= 1
    assert bool(found.events) == (found.engine == "libaio")


def test_the_consumers_of_io_uring_are_those_whose_first_curve_it_is() -> None:
    modules = {name: consumers.load(name) for name in consumers.NAMES}
    usages = {
        name: getattr(module, "_USAGE", getattr(module, "_ASYNCHRONOUS", None)) for name, module in modules.items()
    }
    assert set(IO_URING) == {name for name, usage in usages.items() if usage and usage.engines[0] == "io_uring"}
