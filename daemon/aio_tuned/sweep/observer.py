"""The protocols of a sweep's observers: one for checkpoint and pauses, one for progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aio_tuned import formatting
from aio_tuned.model.temperature import Heat
from aio_tuned.search.taint import foreign_bytes
from aio_tuned.sweep.order import Budgets, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aio_tuned.devices.thermometer import Thermometer
    from aio_tuned.helper.protocol import Hello, Tick
    from aio_tuned.model.measurement import Request, Sample, Stage
    from aio_tuned.model.setting import Direction
    from aio_tuned.sweep.planning import Preview
    from aio_tuned.sweep.progress import SweepProgress


class SweepObserver(Protocol):
    """An observer that keeps a sweep's checkpoint and may pause the sweep."""

    @property
    def celsius(self) -> float | None:
        """The last temperature that was read; None if none was."""

    @property
    def peak_celsius(self) -> float | None:
        """The highest temperature that was read; None if none was."""

    @property
    def heat(self) -> Heat:
        """The warnings of the drive and the pauses for heat during the sweep."""

    @property
    def paused_s(self) -> float | None:
        """The total seconds of pauses; None if this observer never pauses the sweep."""

    def load_checkpoint(self, hello: Hello, header: Mapping[str, Any]) -> Checkpoint:
        """Return the checkpoint of the sweep with that header; called once when the target is ready."""

    def planned(self, direction: Direction, stage: Stage, budgets: Budgets) -> None:
        """Record that a phase has been calibrated and planned."""

    async def before(self, request: Request, previous: Sample | None) -> None:
        """Wait until the next measurement may begin; raise DeferredError to defer the rest of the sweep.

        `previous` is the last measurement of this process; None before the first.
        """

    async def before_drop(self) -> None:
        """Wait until the host's page cache may be dropped; raise DeferredError to defer the rest of the sweep.

        Called at most once, between `before` and the measurement.
        """

    def after(self, sample: Sample) -> None:
        """Record a finished measurement."""

    def reserve(self, write_bytes: int) -> None:
        """Record bytes that are about to be written after the measurements of the sweep."""


# Other processes cause a warning above this rate, averaged over these seconds: 20 requests of 4 KiB a second.
_WARN_AFTER_S = 2.0
_WARN_BYTES_PER_S = 20 * 4096


class NullObserver:
    """An observer that keeps no checkpoint and never pauses; it reads the thermometer if given one.

    `warn` is called once if other processes use the drive during the measurements.
    """

    paused_s: float | None = None

    def __init__(self, thermometer: Thermometer | None = None, warn: Callable[[str], None] | None = None) -> None:
        self._thermometer = thermometer
        self._warn = warn
        self._measured_s = 0.0
        self._foreign_bytes = 0

    @property
    def celsius(self) -> float | None:
        return self._thermometer.celsius if self._thermometer else None

    @property
    def peak_celsius(self) -> float | None:
        return self._thermometer.peak_celsius if self._thermometer else None

    @property
    def heat(self) -> Heat:
        return Heat(warned=self._thermometer.warned if self._thermometer else None)

    def load_checkpoint(self, hello: Hello, header: Mapping[str, Any]) -> Checkpoint:  # noqa: ARG002 - as SweepObserver
        return Checkpoint()

    def planned(self, direction: Direction, stage: Stage, budgets: Budgets) -> None:
        pass

    async def before(self, request: Request, previous: Sample | None) -> None:  # noqa: ARG002 - as SweepObserver
        if self._thermometer:
            await self._thermometer.read()

    async def before_drop(self) -> None:
        pass

    def after(self, sample: Sample) -> None:
        if self._warn is None:
            return
        self._measured_s += sample.wall_ns / 1e9
        self._foreign_bytes += foreign_bytes(sample)
        if self._measured_s < _WARN_AFTER_S:
            return
        bytes_per_s = self._foreign_bytes / self._measured_s
        self._measured_s, self._foreign_bytes = 0.0, 0
        if bytes_per_s > _WARN_BYTES_PER_S:
            moving = formatting.throughput(bytes_per_s)
            self._warn(
                f"other processes transfer {moving} on the drive; figures may be low; tune again when it is idle"
            )
            self._warn = None

    def reserve(self, write_bytes: int) -> None:
        pass


class ProgressObserver(Protocol):
    """An observer that shows a sweep's progress."""

    def begin(self, preview: Preview) -> None:
        """Show what the sweep that begins will do."""

    def note(self, text: str) -> None:
        """Show a note about the drive."""

    def tick(self, tick: Tick) -> None:
        """Show the helper's progress in a long task."""

    def update(self, progress: SweepProgress) -> None:
        """Show the progress after another measurement."""
