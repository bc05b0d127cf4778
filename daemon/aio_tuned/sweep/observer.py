"""Those who follow a sweep: for its checkpoint and pauses, and for its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aio_tuned.model.temperature import Heat
from aio_tuned.sweep.order import Budgets, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_tuned.devices.thermometer import Thermometer
    from aio_tuned.helper.protocol import Hello, Tick
    from aio_tuned.model.device import Device
    from aio_tuned.model.measurement import Request, Sample
    from aio_tuned.model.setting import Direction
    from aio_tuned.model.target import Target
    from aio_tuned.sweep.progress import SweepProgress


class SweepObserver(Protocol):
    """Who keeps a sweep's record and throttle."""

    @property
    def celsius(self) -> float | None:
        """The temperature that was seen last; None if none was."""

    @property
    def peak_celsius(self) -> float | None:
        """The highest temperature that was seen; None if none was."""

    @property
    def heat(self) -> Heat:
        """Whether the drive was too hot."""

    @property
    def paused_s(self) -> float | None:
        """How long the sweep has been held up in all; None if nobody would have."""

    def load_checkpoint(self, hello: Hello, header: Mapping[str, Any]) -> Checkpoint:
        """What is known already of the sweep with that header; asked once, when the target is ready."""

    def planned(self, direction: Direction, budgets: Budgets) -> None:
        """A phase is calibrated and planned."""

    async def before(self, request: Request, previous: Sample | None) -> None:
        """A visit is about to be made: it may be held up here, or the sweep ended by DeferredError.

        `previous` is the visit before it, if this process has made one.
        """

    def after(self, sample: Sample) -> None:
        """A visit has been made."""


class NullObserver:
    """Nobody attends: nothing is kept, and nothing waits. A thermometer is read, if there is one."""

    paused_s: float | None = None

    def __init__(self, thermometer: Thermometer | None = None) -> None:
        self._thermometer = thermometer

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

    def planned(self, direction: Direction, budgets: Budgets) -> None:
        pass

    async def before(self, request: Request, previous: Sample | None) -> None:  # noqa: ARG002 - as SweepObserver
        if self._thermometer:
            await self._thermometer.read()

    def after(self, sample: Sample) -> None:
        pass


class ProgressObserver(Protocol):
    """Who is told how a tune goes on."""

    def begin(self, device: Device, target: Target) -> None:
        """The target is decided on."""

    def tick(self, tick: Tick) -> None:
        """The helper is busy with something long."""

    def update(self, progress: SweepProgress) -> None:
        """One more visit is done."""
