"""The cap that a caller may wish for, for consumers whose block size is that of the settings. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio_tuned.errors import UsageError

if TYPE_CHECKING:
    from aio_tuned.consumers.export import Wishes
    from aio_tuned.reader import DriveSettings, Settings

_SMALLEST = 4096  # a multiple of every drive's logical block: less cannot be read with O_DIRECT on some


def capped(settings: Settings, wishes: Wishes) -> Settings:
    """The settings with no larger block size than wished; if that changes them, nobody measured their throughput.

    A cap that is no power of two is rounded down to one: such blocks are aligned for every drive. UsageError for a cap
    below 4096 bytes.
    """
    cap = wishes.max_block_size
    if cap is not None and cap < _SMALLEST:
        raise UsageError(f"no block size of at most {cap} bytes: the smallest for direct I/O is {_SMALLEST}")
    if cap is None or settings.block_size <= cap:
        return settings
    return settings._replace(block_size=1 << (cap.bit_length() - 1), throughput_bytes_per_s=None)


def capped_drive(drive: DriveSettings, wishes: Wishes) -> DriveSettings:
    """The same for every direction."""
    return type(drive)(*(capped(settings, wishes) for settings in drive))


def cap_ignored(wishes: Wishes, why: str) -> tuple[str, ...]:
    """The sentence on a cap, of a consumer that has no block size; none if the caller wishes for none."""
    return () if wishes.max_block_size is None else (f"max_block_size: ignored, for {why}.",)


def cap_note(key: str, before: Settings, after: Settings) -> tuple[str, ...]:
    """The sentence on what the cap changed, which begins with the consumer's key; none if it changed nothing."""
    if after.block_size == before.block_size:
        return ()
    said = f"{key}: {after.block_size} bytes as you wished; this drive's best was {before.block_size},"
    return (f"{said} and the other parameters were chosen for that.",)
