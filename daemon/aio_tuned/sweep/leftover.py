"""Bytes left on a raw drive by a killed sweep, which are zeroed under all guards of a new raw write or left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.devices import resolve
from aio_tuned.errors import BusyError, Exit, HelperError
from aio_tuned.helper.process import RAW_END_S, Helper
from aio_tuned.helper.protocol import arguments
from aio_tuned.model.target import Target
from aio_tuned.storage import raw_write_record

if TYPE_CHECKING:
    from pathlib import Path

    from aio_tuned.config.load import Config
    from aio_tuned.devices.probe import ProbeResult
    from aio_tuned.model.device import Device, Usage
    from aio_tuned.storage.raw_write_record import RawWriteRecord

_BUFFER_BYTES = 1 << 20


def is_recorded(target: Path, state: Path) -> bool:
    """Return whether a sweep may have left bytes on the target's drive, by its record; the drive is not read.

    Raise BusyError if the helper of that sweep may still write there.
    """
    device = resolve.device(resolve.resolve(target))
    record = raw_write_record.load(state, device.id)
    if record and record.is_written():
        raise BusyError(
            f"{device.node}: aio-sweep (process {record.pid}) is still running and may write to the drive; the drive is"
            " not swept until that process exits"
        )
    return record is not None


def why_not(record: RawWriteRecord, device: Device, usage: Usage) -> str:
    """Return why the span must not be zeroed, or "" if it may be; the helper checks the drive again."""
    if not record.is_of(device):
        return "the drive was replaced by another one"
    uses = {
        "mounted at": usage.mounted_at,
        "in use by": usage.holders,
        "holds partitions": usage.partitions,
        "holds": usage.signatures,
        "in use as": ("swap",) * usage.swap,
        "is": ("read-only",) * device.read_only,
    }
    return "; ".join(f"{verb} {', '.join(what)}" for verb, what in uses.items() if what)


async def clear(found: ProbeResult, config: Config, helper: Path) -> str:
    """Zero the bytes in the drive's record and return a note on the result, or "" without a record.

    Raise HelperError and keep the record if the drive fails.
    """
    record = raw_write_record.load(config.state, found.device.id)
    if record is None:
        return ""
    where = f"{record.span_bytes >> 20} MiB at offset {record.offset_bytes}"
    if config.raw_write != "blank":
        return (
            f'{where} of an interrupted sweep were not zeroed; set raw_write = "blank" in the configuration to let a'
            " sweep zero them"
        )
    reason = why_not(record, found.device, found.usage)
    if not reason:
        try:
            await _erase(record, found.device, helper)
        except HelperError as error:
            if error.exit_code not in (Exit.BUSY, Exit.TARGET):
                raise
            reason = str(error)
    raw_write_record.drop(config.state, record)
    if reason:
        return f"{where} of an interrupted sweep were not zeroed and are no longer recorded: {reason}"
    return f"{where} of an interrupted sweep were zeroed"


async def _erase(record: RawWriteRecord, device: Device, program: Path) -> None:
    target = Target(kind="device", path=device.node, span_bytes=record.span_bytes, offset_bytes=record.offset_bytes)
    words = arguments(
        target,
        allow_write=True,
        max_transfer_bytes=min(_BUFFER_BYTES, record.span_bytes),
        drop_caches="never",
        counters=(),
        expect_devices=(device.device_number,),
        expect_diskseq=device.diskseq,
        key=record.key,
    )
    async with await Helper.start(program, (*words, "--erase"), grace_s=RAW_END_S, writes_raw=True) as helper:
        await helper.finish()
        if helper.span != "clean":
            raise HelperError("aio-sweep: terminated before all bytes were zeroed; run the sweep again")
