"""The row of any request: of the five parameters, or by engine and size; with its groups, its memory and its file."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_tuned.model.setting import Setting
from fakes.simulated.by_size import Load, served
from fakes.simulated.truth import Row, rows

if TYPE_CHECKING:
    from aio_tuned.model.measurement import BufferPages, Request
    from fakes.simulated.model import DriveModel


def written_part(request: Request, count: int) -> int:
    """Return how many of the bytes that a request moves are written."""
    return 0 if request.direction == "read" else count - count * request.read_percent // 100


def requests_of(request: Request) -> int:
    """Return the number of requests to the kernel in one transfer."""
    if is_by_size(request):
        return math.ceil(request.transfer_bytes / request.setting.block_size)
    threads = request.setting.io_parallelism * request.groups
    share = request.transfer_bytes // threads
    return threads * math.ceil(share / min(request.setting.block_size, share))


def in_flight_of(request: Request) -> int:
    """Return how many requests are in flight at once in a transfer."""
    setting = request.setting
    return min(setting.queue_depth * setting.io_parallelism * request.groups, requests_of(request))


def is_by_size(request: Request) -> bool:
    """Return whether a request is of a curve by size, and none that a helper of protocol 1 can do."""
    return request.engine != "libaio" or request.access == "random" or request.read_percent > 0


def _row_by_size(model: DriveModel, request: Request, *, beyond_cliff: bool) -> Row:
    size, total = request.setting.block_size, request.transfer_bytes
    threads = request.setting.io_parallelism * request.groups
    read_share = 1.0 if request.direction == "read" else request.read_percent / 100
    asked = Load(request.engine, read_share, min(size, total), in_flight_of(request), threads)
    found = served(model, asked, beyond_cliff=beyond_cliff)
    transfer_s = total / found.bytes_per_s + found.begin_s
    cpu_s = min(requests_of(request) * found.cpu_s, min(threads, model.host.cores) * transfer_s)
    return Row(transfer_s * 1e9, found.strain, found.latency_s * 1e9, cpu_s * 1e9, found.tail)


def row_of(model: DriveModel, request: Request, memory: BufferPages, *, beyond_cliff: bool) -> Row:
    """Return the row of a request with that memory by default.

    Groups are more threads. An empty file grows by one write after the other, because each holds a lock of the file.
    """
    direction, total = request.direction, request.transfer_bytes
    setting = replace(request.setting, io_parallelism=request.setting.io_parallelism * request.groups)
    if is_by_size(request):
        row = _row_by_size(model, request, beyond_cliff=beyond_cliff)
    else:
        row = rows(model, direction, (setting,), total, beyond_cliff=beyond_cliff)[setting]
    if request.new_file:
        one = Setting(
            block_size=setting.block_size, queue_depth=1, io_parallelism=1, overlap_events=True, single_submit=False
        )
        alone = rows(model, direction, (one,), total, beyond_cliff=beyond_cliff)[one]
        extending_ns = alone.transfer_ns + math.ceil(total / setting.block_size) * model.host.extend_ns
        row = row._replace(transfer_ns=max(row.transfer_ns, extending_ns))
    if (request.memory or memory) != "consumer":
        faster = (1 + model.host.segment_cost) ** row.strain
        row = row._replace(transfer_ns=row.transfer_ns / faster, latency_ns=row.latency_ns / faster)
    return row
