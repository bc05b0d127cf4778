"""The throttle and the write account of a run, which are those of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned import formatting
from aio_tuned.devices.sensors import Sensors
from aio_tuned.errors import DeferredError
from aio_tuned.launch.verify.comparison import least_write_bytes
from aio_tuned.service.worker.throttle import Throttle
from aio_tuned.service.worker.throttle_rules import ThrottleRules
from aio_tuned.service.write_ledger import Ledger, ledger_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.config.load import Config
    from aio_tuned.model.device import Device

# The bytes that a run writes at most.
MAX_WRITE_BYTES = 8 << 30
_RETRY_S = 600.0


class Gate:
    """What stands before each transfer: pauses for other processes, quiet hours and heat, and the daily budget."""

    def __init__(self, config: Config, device: Device, notice: Callable[[str], None]) -> None:
        self._id = device.id
        self._node = device.node
        self._daily_bytes = config.write_budget_per_day
        self._ledger = Ledger.open(ledger_path(config.state))
        self._told = ""
        self.left_bytes = 0
        self._notice = notice
        self._throttle = Throttle(
            ThrottleRules.from_config(config), Sensors(device.device_number), notice=self._pausing
        )

    def allow(self, transfer_bytes: int) -> None:
        """Set `left_bytes`, the bytes that the run may write; raise DeferredError if they are too few for a result."""
        left, least = self._ledger.left_today(self._id, self._daily_bytes), least_write_bytes(transfer_bytes)
        if left < least:
            wait_s = self._ledger.frees_at(self._id, self._daily_bytes, least)
            when = "" if wait_s is None else f" in {formatting.duration(wait_s)} minutes"
            raise DeferredError(
                f"{self._node}: {formatting.amount(left)} of the daily write budget are left, and the comparison needs"
                f" {formatting.amount(least)}; try again{when}, or raise write_budget_per_day",
                wait_s or _RETRY_S,
            )
        self.left_bytes = min(MAX_WRITE_BYTES, left)

    async def before(self) -> None:
        """Wait until the next transfer may begin; raise DeferredError if that takes too long."""
        await self._throttle.before(None)

    def writes(self, count: int) -> None:
        """Record bytes that are about to be written; raise DeferredError if they cannot be recorded."""
        if not self._ledger.reserve(self._id, count):
            raise DeferredError(
                f"{self._ledger.trouble or 'the write ledger is locked by another process'}; nothing was written",
                _RETRY_S,
            )
        self.left_bytes -= count
        self._throttle.wrote()

    def _pausing(self, reason: str) -> None:
        if reason and reason != self._told:
            self._notice(f"paused: {reason}")
        self._told = reason
