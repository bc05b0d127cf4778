"""The five parameters of a setting, and the grid of their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["read", "write"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The five parameters of DeepSpeed's `aio_handle`, from which the parameters of other consumers follow."""

    block_size: int
    queue_depth: int
    io_parallelism: int
    overlap_events: bool
    single_submit: bool

    @property
    def concurrency(self) -> int:
        """Return the number of requests in flight at once, over all threads."""
        return self.queue_depth * self.io_parallelism

    @property
    def in_flight_bytes(self) -> int:
        """Return the bytes in flight at once, over all threads."""
        return self.block_size * self.concurrency


# DeepSpeed's defaults (deepspeed/runtime/swap_tensor/constants.py), which an untuned reader gets; every sweep repeats
# this setting as its reference.
DEFAULT_SETTING = Setting(block_size=1 << 20, queue_depth=8, io_parallelism=1, overlap_events=True, single_submit=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The values of each parameter; the settings are their product."""

    block_size: tuple[int, ...]
    queue_depth: tuple[int, ...]
    io_parallelism: tuple[int, ...]
    overlap_events: tuple[bool, ...]
    single_submit: tuple[bool, ...]
