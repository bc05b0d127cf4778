"""The daemon's only timer while it is idle: it notifies the watchdog, and has changes without an event looked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aio_tuned.service.monitoring.status_publisher import StatusPublisher
    from aio_tuned.service.sd_notify import Notify

# The interval of comparisons that find changes without an event: a scheduler written to /sys, or a lost event.
_COMPARE_EVERY_S = 60.0


async def beat(notify: Notify, status: StatusPublisher, compare: Callable[[], None]) -> None:
    """Notify the watchdog and the status without end, and call `compare` every minute."""
    pause = notify.watchdog_s or _COMPARE_EVERY_S
    loop = asyncio.get_running_loop()
    compared = loop.time()
    while True:
        notify.watchdog()
        status.beat()
        if loop.time() - compared >= _COMPARE_EVERY_S:
            compared = loop.time()
            compare()
        await asyncio.sleep(pause)
