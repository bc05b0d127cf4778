"""The order of a sweep, made from the request, the drive and the target; and its preview for people."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from aio_tuned import __version__
from aio_tuned.devices import identity
from aio_tuned.errors import TargetError
from aio_tuned.profiles.siblings import check_shares
from aio_tuned.search import effort, grid
from aio_tuned.search.curve_plan import SPLIT_BYTES
from aio_tuned.sweep.budget import min_write_bytes, write_budget
from aio_tuned.sweep.order import CurveOrder, Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device
    from aio_tuned.model.measurement import DropCaches, Engine
    from aio_tuned.model.setting import Direction, Setting
    from aio_tuned.model.target import Target
    from aio_tuned.profiles.kept_settings import KeptSettings
    from aio_tuned.sweep.request import TuneRequest

# What the experiments after the choice take: 23 s for the curves, 8 for several processes, 4 for memory and 1 for new
# files, and 4 GiB of writes less what other phases may exceed theirs by; but at most this part of the budgets.
_AFTER_NS = 36_000_000_000
_AFTER_BYTES = 15 << 28
_AFTER_PART = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a sweep is about to do, and what it may take at most.

    `settings` is the number of settings of each direction, and `measured` how many of them are measured for sure: a
    quick sweep measures a part. `written_bytes` includes the scratch file. `engines` are measured by request size, and
    `processes` are the numbers of them at once; these and the other experiments after the choice take `after_s` and
    `after_bytes` of the whole at most.
    """

    device: Device
    target: Target
    settings: Mapping[Direction, int]
    measured: Mapping[Direction, int]
    time_s: float
    written_bytes: int
    drop_caches: DropCaches
    engines: tuple[Engine, ...] = ()
    processes: tuple[int, ...] = ()
    after_s: float = 0.0
    after_bytes: int = 0


def preview(device: Device, target: Target, order: Order) -> Preview:
    """Return the preview of the order."""
    counts = {direction: len(order.settings[direction]) for direction in order.directions}
    # A scratch file is filled before it is read.
    filled_bytes = target.span_bytes if target.kind == "scratch" else 0
    return Preview(
        device=device,
        target=target,
        settings=counts,
        measured={direction: math.ceil(count / order.fraction) for direction, count in counts.items()},
        time_s=order.time_budget_ns / 1e9,
        written_bytes=write_budget(order, 0) if "write" in counts else filled_bytes,
        drop_caches=order.drop_caches,
        engines=order.curves.engines,
        processes=order.processes if order.after_ns else (),
        after_s=order.after_ns / 1e9,
        after_bytes=order.after_bytes,
    )


def settings(request: TuneRequest, target: Target) -> dict[Direction, tuple[Setting, ...]]:
    """Return the settings to measure in each direction that the target allows; raise TargetError if there are none."""
    whole = grid.settings(request.config.grid)
    wanted: Mapping[Direction, tuple[Setting, ...]] = {"read": whole, "write": whole}
    if request.settings is not None:
        wanted = request.settings
    allowed: tuple[Direction, ...] = ("read",) if target.no_write else ("read", "write")
    most = request.max_concurrency
    found = {
        direction: chosen
        for direction in allowed
        if (chosen := tuple(one for one in wanted.get(direction, ()) if most is None or one.concurrency <= most))
    }
    if not found:
        why = target.no_write or "no settings were given"
        if most is not None and any(wanted.values()):
            why = f"every setting has more than {most} requests in flight, too many for a drive that is never idle"
        raise TargetError(f"{request.target}: nothing to measure: {why}")
    return found


def _write_budget_bytes(extended: effort.Extent, config: Config, device: Device, target: Target) -> int:
    """Return the write budget of the effort, in bytes.

    The effort changes the part for measurements only: the scratch file has the same size at every effort.
    """
    budget = config.write_budget_bytes(device.size_bytes)
    prepared = 2 * target.span_bytes
    if budget <= prepared:
        return budget
    return min(config.write_budget, prepared + int((budget - prepared) * extended.write_share))


def _after_choice(order: Order, config: Config, device: Device, target: Target) -> Order:
    """Return the order with the experiments after the choice, and what they take of its budgets.

    A quick sweep and a check of a sibling have none: they take seconds, and a sibling's figures are not this drive's.
    """
    if config.effort == "quick" or order.check:
        return order
    spare_bytes = 0
    if "write" in order.directions:
        prepared = 2 * (target.span_bytes if target.kind == "scratch" else 0) + 2 * order.zeroed_bytes
        least = prepared + min_write_bytes(order, device.logical_block_bytes)
        spare_bytes = max(0, write_budget(order, 0) - least)
    curves = CurveOrder(engines=config.curve_engines, sizes=config.curve_sizes) if config.curves else CurveOrder()
    return replace(
        order,
        curves=curves,
        processes=config.processes,
        after_ns=min(_AFTER_NS, order.time_budget_ns // _AFTER_PART),
        after_bytes=min(_AFTER_BYTES, spare_bytes // _AFTER_PART),
    )


def make_order(request: TuneRequest, device: Device, target: Target, kept: KeptSettings) -> Order:
    """Return the order of the sweep; raise TargetError if no setting can be measured."""
    config = request.config
    chosen = settings(request, target)
    # A check measures all of its few settings, whatever the effort.
    extended = effort.extent(config.effort if request.settings is None else "default", config.time_budget)
    fingerprint = identity.fingerprint(device, target.filesystem, os.uname().release)
    write_budget_bytes = _write_budget_bytes(extended, config, device, target)
    usual_bytes = extended.usual_bytes
    order = Order(
        settings=chosen,
        pass_ns=int(extended.pass_s * 1e9),
        race_ns=int(extended.race_s * 1e9),
        usual_write_bytes=write_budget_bytes if usual_bytes is None else min(usual_bytes, write_budget_bytes),
        check=request.against is not None,
        shares=check_shares(request.against) if request.against else {},
        preferred={direction: kept.settings(direction) for direction in chosen},
        read_weight=config.read_weight,
        max_transfer_bytes=min(config.transfer_bytes, target.span_bytes),
        time_budget_ns=int(extended.time_budget_s * 1e9),
        write_budget_bytes=write_budget_bytes,
        tolerance=config.tolerance_percent / 100,
        seed=request.seed,
        write_cap_bytes=request.write_budget_bytes,
        # A raw device that was written is zeroed again, which counts as written too.
        zeroed_bytes=target.span_bytes if target.kind == "device" and "write" in chosen else 0,
        fraction=extended.fraction,
        sustain_share=extended.sustain_share,
        resumable=request.resumable,
        drop_caches=request.drop_caches,
        max_transfer_ns=request.max_transfer_ns,
        max_foreign_bytes=request.max_foreign_bytes,
        deadline_ns=None if request.began_ns is None else request.began_ns + int(extended.time_budget_s * 1e9),
        about={
            "tool_version": __version__,
            "device": [device.id, device.size_bytes, device.boot_id],
            "fingerprint": asdict(fingerprint),
            "target": [target.kind, target.filesystem, target.span_bytes, target.offset_bytes],
            "against": request.against.device.name if request.against else "",
        },
        max_concurrency=request.max_concurrency,
        split_bytes=device.queue.max_sectors_kb << 10 or SPLIT_BYTES,
        # Space on thin storage is taken for the scratch file alone. Half of the rest stays free, because a helper that
        # finds too little ends the sweep.
        new_files=not target.trim and target.spare_bytes >= 2 * config.transfer_bytes,
        consumer_memory=config.buffer == "consumer",
    )
    return _after_choice(order, config, device, target)
