"""The progress of `aio-tuned tune`: bars on a terminal (with rich), plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

from aio_tuned import formatting
from aio_tuned.report.terminal import color
from aio_tuned.report.terminal.preview import opening

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID
    from typing_extensions import Self

    from aio_tuned.helper.protocol import Tick
    from aio_tuned.sweep.planning import Preview
    from aio_tuned.sweep.progress import SweepProgress

# Often enough to tell slow from stuck, without filling a log.
_PLAIN_EVERY_S = 5.0
# The terminal echoes "^C" behind the bar. Where that wraps, each redraw of the bar leaves a line behind.
_SPARE_COLUMNS = 4
_MIN_WIDTH = 40
# From this width on the bars have all figures.
_WIDE = 110
_TICKS = {"fill": "writing test data", "zero": "zeroing the device", "trim": "returning the space"}


def _activity(progress: SweepProgress) -> str:
    """Return the name of the phase: "read 1/2: every setting once"."""
    number, count = progress.step
    step = f" {number}/{count}" if count > 1 else ""
    return f"{progress.direction}{step}: {progress.activity}"


def _figures(progress: SweepProgress, *, wide: bool = True) -> str:
    left = formatting.duration(progress.left_ns / 1e9)
    best = formatting.throughput(progress.best_bytes_per_s) if progress.best_bytes_per_s else ""
    if not wide:
        return ", ".join(part for part in (best, f"{left} left") if part)
    written = f"{formatting.amount(progress.written_bytes)} written" if progress.written_bytes else ""
    return ", ".join(part for part in (best and f"best {best}", written, f"at most {left} left") if part)


class Quiet:
    """A watcher of the sweep that shows nothing but what was found out before it, if it has a stream for that."""

    def __init__(self, notes: TextIO | None = None) -> None:
        self._notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self, preview: Preview) -> None:
        """Show what the sweep will do."""

    def note(self, text: str) -> None:
        """Show a finding about the drive."""
        if self._notes:
            print(text, file=self._notes, flush=True)

    def tick(self, tick: Tick) -> None:
        """Show the progress of the helper's preparation."""

    def update(self, progress: SweepProgress) -> None:
        """Show the progress of the sweep after a measurement."""


class Plain(Quiet):
    """A watcher that prints a line every few seconds."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._stream = stream
        self._said_at = 0.0
        self._said = ""

    def _say(self, phase: str, text: str) -> None:
        """Print the text when a phase begins, else every few seconds."""
        now = time.monotonic()
        if phase != self._said or now - self._said_at >= _PLAIN_EVERY_S:
            print(f"{phase}: {text}" if text else phase, file=self._stream, flush=True)
            self._said, self._said_at = phase, now

    def begin(self, preview: Preview) -> None:
        print("\n".join(opening(preview)), file=self._stream, flush=True)

    def tick(self, tick: Tick) -> None:
        if tick.phase != "point":
            done = f"{formatting.amount(tick.bytes)} of {formatting.amount(tick.total_bytes)}" if tick.bytes else ""
            self._say(_TICKS.get(tick.phase, tick.phase), done)

    def update(self, progress: SweepProgress) -> None:
        counts = f"{progress.measured:,} of {progress.expected:,} measurements"
        self._say(_activity(progress), f"{counts}, {_figures(progress)}")


class Bar(Quiet):
    """A watcher with a progress bar for each phase, by rich."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        super().__init__(stream)
        self._console = Console(file=stream, color_system=color.system())
        self._console.width = max(_MIN_WIDTH, self._console.width - _SPARE_COLUMNS)
        self._wide = self._console.width >= _WIDE
        self._bars = Progress(
            TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[counts]}", table_column=Column(no_wrap=True, justify="right")),
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)),
            console=self._console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._done: tuple[str, int, str] = ("", 0, "")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._end()
        self._bars.stop()

    def _end(self) -> None:
        """Show the current phase as complete: the last report comes before its end, and a phase may end early."""
        name, done, counts = self._done
        if name:
            self._bars.update(self._tasks[name], completed=done, total=done, counts=counts, figures="")

    def _show(self, name: str, done: int, total: int, counts: str, figures: str, whole: tuple[int, str]) -> None:
        if name != self._done[0]:
            self._end()
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=total, counts="", figures="")
        self._done = (name, *whole)
        self._bars.update(self._tasks[name], completed=done, total=total, counts=counts, figures=figures)

    def begin(self, preview: Preview) -> None:
        self.note("\n".join(opening(preview)))

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, emoji=False)

    def tick(self, tick: Tick) -> None:
        if tick.phase == "point":
            return
        total = formatting.amount(tick.total_bytes)
        counts = f"{formatting.amount(tick.bytes)} of {total}"
        name = _TICKS.get(tick.phase, tick.phase)
        self._show(name, tick.bytes, tick.total_bytes, counts, "", (tick.total_bytes, total))

    def update(self, progress: SweepProgress) -> None:
        figures = _figures(progress, wide=self._wide)
        done, total = progress.measured, progress.expected
        self._show(_activity(progress), done, total, f"{done:,}/{total:,}", figures, (done, f"{done:,}"))


def watcher(*, quiet: bool, silent: bool = False) -> Quiet:
    """Return the watcher that suits standard error; a `quiet` one shows findings only, a `silent` one nothing."""
    if silent:
        return Quiet()
    if quiet:
        return Quiet(sys.stderr)
    if sys.stderr.isatty():
        try:
            return Bar(sys.stderr)
        except ImportError:
            pass
    return Plain(sys.stderr)
