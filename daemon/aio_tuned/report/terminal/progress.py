"""The progress of `aio-tuned tune`: a bar on a terminal (with rich), plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from aio_tuned import formatting

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID
    from typing_extensions import Self

    from aio_tuned.helper.protocol import Tick
    from aio_tuned.model.device import Device
    from aio_tuned.model.target import Target
    from aio_tuned.sweep.progress import SweepProgress

# Often enough to tell slow from stuck, without filling a log.
_PLAIN_EVERY_S = 5.0
_WILL_DROP = "the page cache of the whole host is dropped before the first read; --drop-caches=file keeps it"


def _title(device: Device, target: Target) -> str:
    name = " ".join(part for part in (device.model, device.serial) if part) or device.name
    where = f"scratch file in {target.path} ({target.filesystem})" if target.kind == "scratch" else f"raw {target.path}"
    writes = f"reads only: {target.no_write}" if target.no_write else "reads and writes"
    return f"{device.node}  {name}  {formatting.size(device.size_bytes)}\n{where}, {writes}"


def _figures(progress: SweepProgress) -> str:
    return (
        f"best {formatting.throughput(progress.best_bytes_per_s)}, {formatting.size(progress.written_bytes)} written,"
        f" at most {formatting.duration(progress.left_ns / 1e9)} left"
    )


class Quiet:
    """A watcher of the sweep that shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self, device: Device, target: Target) -> None:
        """Show the target, once it is decided."""

    def will_drop(self) -> None:
        """Show that the host's page cache is dropped."""

    def note(self, text: str) -> None:
        """Show what was found out before the sweep."""

    def tick(self, tick: Tick) -> None:
        """Show the helper's progress in long work."""

    def update(self, progress: SweepProgress) -> None:
        """Show the sweep's progress, after each measurement."""


class Plain(Quiet):
    """A watcher that prints a line every few seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said_at = 0.0
        self._said: object = None

    def _say(self, what: object, text: str) -> None:
        """Print when `what` changes, else every few seconds."""
        now = time.monotonic()
        if what != self._said or now - self._said_at >= _PLAIN_EVERY_S:
            print(text, file=self._stream, flush=True)
            self._said, self._said_at = what, now

    def begin(self, device: Device, target: Target) -> None:
        print(_title(device, target), file=self._stream, flush=True)

    def will_drop(self) -> None:
        self.note(_WILL_DROP)

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def tick(self, tick: Tick) -> None:
        if tick.phase != "point":
            self._say(tick.phase, f"{tick.phase}: {formatting.size(tick.bytes)} of {formatting.size(tick.total_bytes)}")

    def update(self, progress: SweepProgress) -> None:
        doing = "racing the finalists" if progress.repeating else "every point once"
        self._say(
            (progress.direction, progress.repeating),
            f"{progress.direction}: {progress.points_done}/{progress.points_planned} points ({doing}),"
            f" {progress.visits} visits, {_figures(progress)}",
        )


class Bar(Quiet):
    """A watcher with a progress bar by rich."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._console = Console(file=stream)
        self._bars = Progress(
            TextColumn("[bold]{task.description:<9}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            expand=True,
        )
        self._task: TaskID | None = None
        self._total = 0
        self._name = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def _show(self, name: str, done: int, total: int, figures: str) -> None:
        if self._task is None or name != self._name:
            if self._task is not None:  # the last tick precedes the end
                self._bars.update(self._task, completed=self._total, figures="")
            self._task = self._bars.add_task(name, total=total, figures="")
            self._name = name
        self._total = total
        self._bars.update(self._task, completed=done, total=total, figures=figures)

    def begin(self, device: Device, target: Target) -> None:
        self._console.print(_title(device, target), highlight=False, markup=False, emoji=False)

    def will_drop(self) -> None:
        self.note(_WILL_DROP)

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, emoji=False)

    def tick(self, tick: Tick) -> None:
        if tick.phase != "point":
            self._show(tick.phase, tick.bytes >> 20, tick.total_bytes >> 20, "MiB")

    def update(self, progress: SweepProgress) -> None:
        doing = f"{progress.visits} visits, " if progress.repeating else ""
        self._show(progress.direction, progress.points_done, progress.points_planned, doing + _figures(progress))


def watcher(*, quiet: bool) -> Quiet:
    """Return the watcher that suits standard error."""
    if quiet:
        return Quiet()
    if sys.stderr.isatty():
        try:
            return Bar(sys.stderr)
        except ImportError:
            pass
    return Plain(sys.stderr)
