"""Calls on a drive or filesystem that may never answer, with a time limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from aio_tuned.timeouts import in_thread, within

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MAX_S = 5.0


def answer(call: Callable[[], T], max_s: float = MAX_S) -> T:
    """Return the call's result, or raise its error; raise TooLateError if it takes longer."""

    async def limited() -> T:
        return await within(max_s, in_thread(call))

    return asyncio.run(limited())
